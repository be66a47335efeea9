//! The object in the VM.
use super::{Engine, EngineError, Observation, Settings};
use crate::Frame;
/// The vm engine.
pub struct Vm;
impl Vm {
    /// New.
    pub fn new(_settings: &Settings) -> Result<Self, EngineError> {
        Err(EngineError::Unavailable { engine: "vm", reason: "todo".into() })
    }
}
impl Engine for Vm {
    fn name(&self) -> &'static str {
        "vm"
    }
    fn judge(&mut self, _frame: &Frame) -> Result<Observation, EngineError> {
        unimplemented!()
    }
}
