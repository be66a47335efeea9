//! What is said of anybody's program: the object there, a packet's outcome and the maps' entries back.

use super::MessageError;
use super::wire::{Reader, Writer};
use crate::lab::{Entry, Job, Outcome, Record};

/// What the host asks about a program. Maps are named by their position among the vm's, as everywhere in the lab.
#[derive(Debug, Clone)]
pub enum ProgramRequest {
    /// Load it, with fresh maps; the others are about this one from now on.
    Open(Job),
    /// Put an entry into a map.
    Fill {
        /// The map.
        map: usize,
        /// The key, and the value.
        entry: Entry,
    },
    /// Run it over a packet.
    Run {
        /// The packet's time.
        time_ns: u64,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// What is under a key.
    Value {
        /// The map.
        map: usize,
        /// The key.
        key: Vec<u8>,
    },
    /// All entries of a map.
    Entries {
        /// The map.
        map: usize,
    },
}

/// What the guest answers.
#[derive(Debug, Clone)]
pub enum ProgramReply {
    /// Loaded, or filled.
    Done,
    /// What a run did.
    Ran(Box<Ran>),
    /// The value, if there is one.
    Value(Option<Vec<u8>>),
    /// The entries.
    Entries(Vec<Entry>),
}

/// What a run did, with what is compared after every packet: a question less for each.
#[derive(Debug, Clone, Default)]
pub struct Ran {
    /// The outcome, without what no kernel shows.
    pub outcome: Outcome,
    /// All entries of small maps, by position.
    pub entries: Vec<(usize, Vec<Entry>)>,
    /// The next element of queues and stacks, by position.
    pub next: Vec<(usize, Option<Vec<u8>>)>,
}

impl Writer {
    pub(super) fn program_request(&mut self, request: &ProgramRequest) -> &mut Self {
        match request {
            ProgramRequest::Open(job) => self.byte(0).document(job),
            ProgramRequest::Fill { map, entry } => self.byte(1).count(*map).entry(entry),
            ProgramRequest::Run { time_ns, bytes } => self.byte(2).long(*time_ns).bytes(bytes),
            ProgramRequest::Value { map, key } => self.byte(3).count(*map).bytes(key),
            ProgramRequest::Entries { map } => self.byte(4).count(*map),
        }
    }

    pub(super) fn program_reply(&mut self, reply: &ProgramReply) -> &mut Self {
        match reply {
            ProgramReply::Done => self.byte(0),
            ProgramReply::Ran(ran) => self.byte(1).ran(ran),
            ProgramReply::Value(value) => self.byte(2).maybe(value.as_deref()),
            ProgramReply::Entries(entries) => self.byte(3).entries(entries),
        }
    }

    fn ran(&mut self, ran: &Ran) -> &mut Self {
        let Outcome { returned, packet, meta, context, records, shown: _ } = &ran.outcome;
        self.word(*returned).bytes(packet).maybe(meta.as_deref());
        let context: Vec<_> = context.iter().collect();
        self.each(&context, |writer, (name, value)| {
            writer.bytes(name.as_bytes()).long(**value);
        });
        self.each(records, |writer, Record { map, bytes, padded }| {
            writer.bytes(map.as_bytes()).bytes(bytes).byte(u8::from(*padded));
        });
        self.each(&ran.entries, |writer, (map, entries)| {
            writer.count(*map).entries(entries);
        });
        self.each(&ran.next, |writer, (map, value)| {
            writer.count(*map).maybe(value.as_deref());
        })
    }

    fn entries(&mut self, entries: &[Entry]) -> &mut Self {
        self.each(entries, |writer, entry| {
            writer.entry(entry);
        })
    }

    fn entry(&mut self, (key, value): &Entry) -> &mut Self {
        self.bytes(key).bytes(value)
    }

    fn maybe(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            Some(bytes) => self.byte(1).bytes(bytes),
            None => self.byte(0),
        }
    }
}

impl Reader<'_> {
    pub(super) fn program_request(&mut self) -> Result<ProgramRequest, MessageError> {
        Ok(match self.byte()? {
            0 => ProgramRequest::Open(self.document()?),
            1 => ProgramRequest::Fill { map: self.count()?, entry: self.entry()? },
            2 => ProgramRequest::Run { time_ns: self.long()?, bytes: self.bytes()?.to_vec() },
            3 => ProgramRequest::Value { map: self.count()?, key: self.bytes()?.to_vec() },
            4 => ProgramRequest::Entries { map: self.count()? },
            _ => return Err(self.wrong()),
        })
    }

    pub(super) fn program_reply(&mut self) -> Result<ProgramReply, MessageError> {
        Ok(match self.byte()? {
            0 => ProgramReply::Done,
            1 => ProgramReply::Ran(Box::new(self.ran()?)),
            2 => ProgramReply::Value(self.maybe()?),
            3 => ProgramReply::Entries(self.many(Self::entry)?),
            _ => return Err(self.wrong()),
        })
    }

    fn ran(&mut self) -> Result<Ran, MessageError> {
        let (returned, packet, meta) = (self.word()?, self.bytes()?.to_vec(), self.maybe()?);
        let context = self.many(|reader| Ok((reader.text()?, reader.long()?)))?.into_iter().collect();
        let record = |reader: &mut Self| {
            let (map, bytes) = (reader.text()?, reader.bytes()?.to_vec());
            Ok(Record { map, bytes, padded: reader.byte()? == 1 })
        };
        let records = self.many(record)?;
        let entries = self.many(|reader| Ok((reader.count()?, reader.many(Self::entry)?)))?;
        let next = self.many(|reader| Ok((reader.count()?, reader.maybe()?)))?;
        Ok(Ran { outcome: Outcome { returned, packet, meta, context, records, ..Outcome::default() }, entries, next })
    }

    fn entry(&mut self) -> Result<Entry, MessageError> {
        Ok((self.bytes()?.to_vec(), self.bytes()?.to_vec()))
    }

    fn maybe(&mut self) -> Result<Option<Vec<u8>>, MessageError> {
        match self.byte()? {
            0 => Ok(None),
            1 => Ok(Some(self.bytes()?.to_vec())),
            _ => Err(self.wrong()),
        }
    }
}
