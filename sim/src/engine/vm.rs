//! The object in the VM.
