//! Which class a flow has, by a file or by a dataset's published attack windows. The first half of the arrow from a capture to labelled rows.
//!
//! | kind | what a line says | header |
//! |---|---|---|
//! | rules | flows of this capture, protocol, endpoints and time are of this class; the first line that matches wins | `capture,class,...` |
//! | windows | who attacked whom and when; a later line wins, everything else is benign | `class,address_from,...` |
//! | flow table | one flow as CIC-IDS-2017 publishes it, with a label | `Source IP` or `Src IP`, ..., `Label` |
//!
//! The header decides which kind a file is. A flow is labelled once, at its first packet. Files may be compressed with gzip or zstd.
//! `docs/labels.md` has the columns and the rules about time.
//!
//! Not here: what becomes of flows without a label; that is the consumer's.

mod class;
pub mod error;
mod flow;
mod record;
mod report;
mod rule;
mod time;
mod window;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use treeline_sim::conversation::Conversation;

pub use self::error::LabelError;
use self::flow::Flows;
use self::record::Records;
pub use self::record::{COLUMNS_MAX, RECORD_BYTES_MAX};
pub use self::report::{LINES_MAX, Report, Unmatched};
use self::rule::Rules;
use self::window::{Edition, Windows};

/// The attack windows of CIC-IDS-2017 with the corrections that the flow table of 2022 shows, as `--labels` takes them.
pub const CIC_IDS_2017: &str = "cic-ids-2017";
/// The same windows as the paper's authors labelled with.
pub const CIC_IDS_2017_PAPER: &str = "cic-ids-2017-paper";

/// The labels of flows.
#[derive(Debug)]
pub struct Labels {
    source: Source,
    name: PathBuf,
}

#[derive(Debug)]
enum Source {
    Rules(Rules),
    Windows(Windows),
    Flows(Flows),
}

impl Labels {
    /// Opens what `spec` names: [`CIC_IDS_2017`], [`CIC_IDS_2017_PAPER`] or a file.
    ///
    /// Fails if the file cannot be read, is of no known kind, or (rules, windows) has a line that says nothing clear. Of a flow table, lines
    /// that cannot be used are counted in the [`report`](Self::report) instead, unless none is left.
    pub fn open(spec: &str) -> Result<Self, LabelError> {
        let edition = match spec {
            CIC_IDS_2017 => Edition::Corrected,
            CIC_IDS_2017_PAPER => Edition::Paper,
            _ => return Self::open_file(Path::new(spec)),
        };
        let name = PathBuf::from(spec);
        let records = Records::new(window::CIC_IDS_2017.as_bytes(), &name)?;
        Ok(Self { source: Source::Windows(Windows::read(records, edition)?), name })
    }

    fn open_file(path: &Path) -> Result<Self, LabelError> {
        let file = File::open(path).map_err(|source| LabelError::Open { path: path.to_owned(), source })?;
        Self::read(file, path)
    }

    /// Reads labels of any kind from `reader`; `name` stands for the path in errors. Fails as [`Labels::open`] does.
    pub fn read(reader: impl Read + Send + 'static, name: &Path) -> Result<Self, LabelError> {
        let (reader, _) = treeline_lab::capture::compression::reader(reader, None).map_err(|source| LabelError::Read {
            path: name.to_owned(),
            line: 1,
            source,
        })?;
        let records = Records::new(reader, name)?;
        let header = records.header();
        let source = if header.has(&["capture"]) && header.has(&["class"]) {
            Source::Rules(Rules::read(records)?)
        } else if header.has(&["class"]) && header.has(&["address_from"]) {
            Source::Windows(Windows::read(records, Edition::Corrected)?)
        } else if header.has(flow::LABEL) {
            Source::Flows(Flows::read(records)?)
        } else {
            return Err(LabelError::UnknownKind { path: name.to_owned(), header: header.text() });
        };
        Ok(Self { source, name: name.to_owned() })
    }

    /// The classes' names; 0 is `benign`.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        match &self.source {
            Source::Rules(rules) => rules.classes.names(),
            Source::Windows(windows) => windows.classes.names(),
            Source::Flows(flows) => flows.classes.names(),
        }
    }

    /// The class of a flow, an index into [`classes`](Self::classes), or `None` if no label covers it. `capture` is the path of the capture,
    /// `first_ns` the time of the flow's first packet, nanoseconds since 1970. Ask once a flow: the report counts what matched.
    pub fn class(&mut self, capture: &Path, conversation: &Conversation, first_ns: u64) -> Option<u16> {
        match &mut self.source {
            Source::Rules(rules) => rules.class(capture, conversation, first_ns),
            Source::Windows(windows) => Some(windows.class(conversation, first_ns)),
            Source::Flows(flows) => flows.class(conversation, first_ns),
        }
    }

    /// Which lines labelled a flow so far, and why the others did not.
    #[must_use]
    pub fn report(&self) -> Report {
        let (kind, rows, matched, unmatched) = match &self.source {
            Source::Rules(rules) => rules.report(),
            Source::Windows(windows) => windows.report(),
            Source::Flows(flows) => flows.report(),
        };
        Report { source: self.name.clone(), kind, rows, matched, unmatched }
    }
}
