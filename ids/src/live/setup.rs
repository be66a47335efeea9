//! How an instance classifies: what its programs are loaded with, beside the model. It is kept with a pinned instance, so that another process can
//! load a program like it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use treeline_ebpf::Config;
use treeline_sim::engine::{Hook, Settings};

use super::attachment::{Direction, Wish};
use super::model::Named;

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Drop malicious packets.
    pub enforce: bool,
    /// The tree is compiled.
    pub compiled: bool,
    /// Which packets, by name.
    pub direction: String,
    /// Room in the flow table.
    pub flows_max: u32,
    /// See [`Config`].
    pub idle_timeout_ns: u64,
    /// See [`Config`].
    pub active_timeout_ns: u64,
    /// See [`Config`].
    pub alert_interval_ns: u64,
    /// An allow-list is in use.
    pub allow: bool,
    /// Bytes of the ring buffer.
    pub ring_bytes: u32,
}

impl Setup {
    /// The mode's name.
    pub fn mode(&self) -> &'static str {
        if self.enforce { "enforce" } else { "detect" }
    }

    /// The name of the tree's form.
    pub fn tree(&self) -> &'static str {
        if self.compiled { "compiled" } else { "walk" }
    }

    /// What to attach to.
    pub fn wish(&self, clsact: bool) -> Wish {
        let direction = match self.direction.as_str() {
            "ingress" => Direction::Ingress,
            "egress" => Direction::Egress,
            _ => Direction::Both,
        };
        Wish { direction, clsact }
    }

    /// What a program is loaded with.
    pub fn settings(&self, hook: Hook, _allow: Option<&Path>, model: &Named) -> Result<Settings, String> {
        let config = Config {
            idle_timeout_ns: self.idle_timeout_ns,
            active_timeout_ns: self.active_timeout_ns,
            enforce: u32::from(self.enforce),
            alert_interval_ns: self.alert_interval_ns,
            model: model.id,
            allow: u32::from(self.allow),
            ..Config::default()
        };
        Ok(Settings { hook, config, tree: model.model.to_tree(), flows_max: self.flows_max, linked: None })
    }

    #[cfg(test)]
    pub fn sample() -> Self {
        Self {
            enforce: false,
            compiled: true,
            direction: "both".to_owned(),
            flows_max: 4096,
            idle_timeout_ns: 1,
            active_timeout_ns: 2,
            alert_interval_ns: 3,
            allow: false,
            ring_bytes: 4096,
        }
    }
}
