//! What a running instance is, beside its numbers.

use std::time::Instant;

use serde_json::{Value, json};
use treeline_sim::engine::Hook;

use super::engine::Engine;
use super::instance::Interface;
use super::model::{Named, written};
use super::setup::Setup;
use super::tap::{Numbers, Place};

/// The instance, as status, metrics and the screen show it.
#[derive(Debug)]
pub struct State {
    /// The interfaces asked for, by the names that they have now, or had last.
    pub interfaces: Vec<Interface>,
    /// Those still there.
    pub places: Vec<Place>,
    /// The hook.
    pub hook: Hook,
    /// `detect` or `enforce`.
    pub mode: &'static str,
    /// `kernel`, `user-recv`, `user-ring`.
    pub engine: &'static str,
    /// `walk` or `compiled`.
    pub tree: &'static str,
    /// The model in use.
    pub model: Named,
    /// Models before it: their alerts may still wait.
    pub former: Vec<Named>,
    /// Swaps so far.
    pub swaps: u64,
    /// When it began.
    pub started: Instant,
    /// Alerts that the output took.
    pub alerts_written: u64,
    /// Alerts that it did not.
    pub alerts_lost: u64,
}

impl State {
    /// An instance that begins now.
    pub fn new(interfaces: Vec<Interface>, places: Vec<Place>, (hook, engine): (Hook, Engine), setup: &Setup, model: Named) -> Self {
        Self {
            interfaces,
            places,
            hook,
            mode: setup.mode(),
            engine: engine.name(),
            tree: setup.tree(),
            model,
            former: vec![],
            swaps: 0,
            started: Instant::now(),
            alerts_written: 0,
            alerts_lost: 0,
        }
    }

    /// The model's id as it is written.
    pub fn model_id(&self) -> String {
        written(self.model.id)
    }

    /// Whether an interface is still there.
    pub fn is_up(&self, interface: &Interface) -> bool {
        self.places.iter().any(|place| place.index == interface.index)
    }

    /// The name of a class of the model with this id.
    pub fn class(&self, model: u64, class: u16) -> &str {
        let models = std::iter::once(&self.model).chain(self.former.iter().rev());
        models.into_iter().find(|known| known.id == model).map_or("unknown", |known| known.class(class))
    }

    /// Status for machines.
    pub fn to_json(&self, numbers: &Numbers) -> Value {
        let interfaces: Vec<_> = self
            .interfaces
            .iter()
            .map(|Interface { index, name }| {
                let place = self.places.iter().find(|place| place.index == *index);
                json!({ "name": name, "index": index, "attached": place.map(|place| &place.how) })
            })
            .collect();
        let mut status = json!({
            "pid": std::process::id(),
            "uptime_seconds": self.started.elapsed().as_secs_f64(),
            "interfaces": interfaces,
            "hook": self.hook.name(),
            "engine": self.engine,
            "mode": self.mode,
            "tree": self.tree,
            "model": { "id": self.model_id(), "source": self.model.source, "description": self.model.model.description() },
            "swaps": self.swaps,
        });
        let mut counted = numbers.to_json(self.model.model.classes());
        counted["alerts"]["written"] = json!(self.alerts_written);
        counted["alerts"]["lost_output"] = json!(self.alerts_lost);
        if let (Some(status), Value::Object(counted)) = (status.as_object_mut(), counted) {
            status.extend(counted);
        }
        status
    }
}
