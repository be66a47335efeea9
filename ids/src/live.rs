//! The live system: programs on interfaces, alerts, metrics, and the commands that ask a running instance.
//!
//! ```text
//! interface -> tap (kernel | user) -> alerts -> eve -> sink
//!                                 -> numbers -> screen, metric -> exporter
//! commands, scrapes -> door -> control, exporter -> survey (the flow table) -> request -> serve (the run loop) -> tap
//! ```

mod ask;

mod attachment;

mod capability;

mod community;

mod control;

mod door;

mod engine;

mod eve;

mod exporter;

mod folder;

mod instance;

mod interface;

mod kernel;

mod link;

mod listing;

mod load;

mod map;

mod metric;

mod model;

mod netlink;

mod options;

mod orphan;

mod probe;

mod raw;

mod request;

mod run;

mod screen;

mod serve;

mod setup;

mod sink;

mod state;

mod survey;

mod table;

mod tap;

mod terminal;

mod user;

pub use ask::{Detach, Flows, Status, Swap, detach, flows, status, swap};
pub use options::Run;
pub use run::run;
