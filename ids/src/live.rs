//! The live system: programs on interfaces, alerts, metrics, and the commands that ask a running instance.

mod capability;

mod community;

mod instance;

mod sink;
