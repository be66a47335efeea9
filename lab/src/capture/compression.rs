//! Files that may be compressed with gzip or zstd: their first bytes decide.
//!
//! Several gzip members or zstd frames in a row are read as one stream, and zstd's skippable frames are skipped. What follows the last gzip
//! member is treated as gzip(1) treats it: zeros are padding, anything else is garbage, which is ignored and reported. zstd(1) refuses a file
//! with either, and so does this.

use std::io::{self, BufRead, BufReader, Chain, Cursor, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::bufread::GzDecoder;

/// Most that is asked of a decompressor at once, bytes: what it made before an error within one call is lost.
const DECOMPRESSED_READ_MAX: usize = 16 * 1024;

/// Largest window that a zstd file may ask for, as a power of two bytes; also the limit of the command `zstd -d`.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What a reader may find behind the last gzip member; shared with whoever reports it.
#[derive(Debug, Clone, Default)]
pub struct TrailingGarbage(Arc<AtomicBool>);

impl TrailingGarbage {
    /// Whether there was any, as far as the file was read.
    #[must_use]
    pub fn is_found(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Decompresses what `reader` gives if it begins like gzip or zstd; also returns how much to ask for at once. Garbage behind the last gzip
/// member is noted in `garbage`, and an error without it. Fails if the first bytes cannot be read.
pub fn reader(mut reader: impl Read + Send + 'static, garbage: Option<TrailingGarbage>) -> io::Result<(Box<dyn Read + Send>, usize)> {
    let mut magic = Vec::with_capacity(4);
    reader.by_ref().take(4).read_to_end(&mut magic)?;
    let kind = magic.clone();
    let whole = Cursor::new(magic).chain(reader);
    Ok(match kind[..] {
        [0x1f, 0x8b, ..] => (Box::new(Gzip::new(BufReader::new(whole), garbage)), DECOMPRESSED_READ_MAX),
        // A frame, or a skippable one: RFC 8878, sections 3.1.1 and 3.1.2.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            let mut decoder = zstd::Decoder::with_buffer(BufReader::new(whole))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            (Box::new(decoder), DECOMPRESSED_READ_MAX)
        }
        _ => (Box::new(whole), usize::MAX),
    })
}

/// A member, with the byte that was taken to recognise it before its reader.
type Member<R> = GzDecoder<Chain<&'static [u8], R>>;

/// The members of a gzip file, one after another.
struct Gzip<R> {
    /// The member being read; none after the last.
    member: Option<Member<R>>,
    garbage: Option<TrailingGarbage>,
}

impl<R: BufRead> Gzip<R> {
    fn new(reader: R, garbage: Option<TrailingGarbage>) -> Self {
        Self { member: Some(GzDecoder::new((&[][..]).chain(reader))), garbage }
    }

    /// What follows a member that ended: another one, or the end.
    fn next_member(&self, member: Member<R>) -> io::Result<Option<Member<R>>> {
        let (_, mut reader) = member.into_inner().into_inner();
        let first = peek(&mut reader)?;
        if first == Some(GZIP_MAGIC[0]) {
            reader.consume(1);
            match peek(&mut reader)? {
                Some(second) if second != GZIP_MAGIC[1] => {}
                // A member, or the first byte of one that is cut.
                _ => return Ok(Some(GzDecoder::new(GZIP_MAGIC[..1].chain(reader)))),
            }
        } else {
            while peek(&mut reader)? == Some(0) {
                reader.consume(1);
            }
            if first.is_none() || first == Some(0) && peek(&mut reader)?.is_none() {
                return Ok(None);
            }
        }
        let garbage = self.garbage.as_ref().ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "garbage behind the compressed data"))?;
        garbage.0.store(true, Ordering::Relaxed);
        Ok(None)
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            if let Some(member) = self.member.take() {
                self.member = self.next_member(member)?;
            }
        }
        Ok(0)
    }
}

/// The next byte, which stays; `None` at the end.
fn peek(reader: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        match reader.fill_buf() {
            Ok(bytes) => return Ok(bytes.first().copied()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
