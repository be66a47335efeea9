//! How an instance classifies: what its programs are loaded with, beside the model. It is kept with a pinned instance, so that another process can
//! load a program like it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use treeline_ebpf::Config;
use treeline_sim::allow::List;
use treeline_sim::engine::{Hook, Settings};

use super::attachment::AttachOptions;
use super::interface::Direction;
use super::model::Named;

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
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
    /// XDP gives packets in several buffers.
    #[serde(default)]
    pub fragments: bool,
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
    pub fn attach_options(&self, clsact: bool) -> AttachOptions {
        let direction = match self.direction.as_str() {
            "ingress" => Direction::Ingress,
            "egress" => Direction::Egress,
            _ => Direction::Both,
        };
        AttachOptions { direction, clsact }
    }

    /// What a program is loaded with, walking the tree.
    pub fn settings(&self, hook: Hook, allow: Arc<List>, model: &Named) -> Settings {
        let config = Config {
            idle_timeout_ns: self.idle_timeout_ns,
            active_timeout_ns: self.active_timeout_ns,
            alert_interval_ns: self.alert_interval_ns,
            model: model.id,
            enforce: u32::from(self.enforce),
            allow: u32::from(self.allow),
            fragments: u32::from(self.fragments),
            ..Config::default()
        };
        Settings { allow, ..Settings::new(hook, config, &model.model, self.flows_max) }
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
            fragments: false,
        }
    }
}
