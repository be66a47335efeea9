//! Numbers, bytes and lists as a message has them: little-endian, each list after its count.

use super::message::MessageError;

/// A message being written.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// The message.
    #[must_use]
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn byte(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(super) fn word(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn long(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn count(&mut self, value: usize) -> &mut Self {
        self.long(value as u64)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
        self
    }
}

/// A message being read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl<'a> Reader<'a> {
    /// At the message's start.
    #[must_use]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, place: 0 }
    }

    pub(super) fn wrong(&self) -> MessageError {
        MessageError { place: self.place }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], MessageError> {
        let end = self.place.checked_add(count).ok_or(MessageError { place: self.place })?;
        let bytes = self.bytes.get(self.place..end).ok_or(MessageError { place: self.place })?;
        self.place = end;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        self.take(N)?.try_into().map_err(|_| self.wrong())
    }

    pub(super) fn byte(&mut self) -> Result<u8, MessageError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn word(&mut self) -> Result<u32, MessageError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn long(&mut self) -> Result<u64, MessageError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn count(&mut self) -> Result<usize, MessageError> {
        usize::try_from(self.long()?).map_err(|_| self.wrong())
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], MessageError> {
        let count = self.count()?;
        self.take(count)
    }

    pub(super) fn text(&mut self) -> Result<String, MessageError> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    pub(super) fn many<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T, MessageError>) -> Result<Vec<T>, MessageError> {
        let count = self.count()?;
        (0..count).map(|_| one(self)).collect()
    }
}
