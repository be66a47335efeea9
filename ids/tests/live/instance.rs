//! A running `treeline run`, and how it ended.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::lab::{Result, eventually};

/// A running `treeline run`. Dropping it kills it.
pub struct Instance {
    pub child: Child,
    errors: Arc<Mutex<Vec<String>>>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub summary: Value,
    pub errors: String,
}

impl Instance {
    /// Starts it, and waits until it says that it runs.
    pub fn start(command: Command) -> Result<Self> {
        let mut instance = Self::spawn(command)?;
        eventually("it says that it runs", || {
            let errors = instance.errors();
            if let Some(status) = instance.child.try_wait()? {
                thread::sleep(Duration::from_millis(50));
                return Err(format!("it ended with {status}: {}", instance.errors()).into());
            }
            Ok(errors.contains("treeline: detect on") || errors.contains("treeline: enforce on"))
        })?;
        Ok(instance)
    }

    /// Starts it.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let errors = Arc::new(Mutex::new(vec![]));
        let (lines, stderr) = (Arc::clone(&errors), child.stderr.take().ok_or("no standard error")?);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(std::result::Result::ok) {
                lines.lock().expect("no panic").push(line);
            }
        });
        Ok(Self { child, errors })
    }

    /// What it said on standard error so far.
    pub fn errors(&self) -> String {
        self.errors.lock().expect("no panic").join("\n")
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: a child of ours that has not been waited for.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    /// Ends it with SIGTERM.
    pub fn stop(self) -> Result<Ended> {
        self.signal(libc::SIGTERM);
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Result<Ended> {
        eventually("it ends", || Ok(self.child.try_wait()?.is_some()))?;
        let code = self.child.wait()?.code();
        let mut text = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut text)?;
        }
        thread::sleep(Duration::from_millis(50));
        let summary = text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or(Value::Null);
        Ok(Ended { code, summary, errors: self.errors() })
    }

    /// Kills it without a chance to clean up.
    pub fn kill(mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
