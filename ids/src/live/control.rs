//! The control socket: one JSON document a line asks, one answers. `{"do": "status" | "flows" | "swap" | "detach", ...}`; an answer has
//! `"ok"`, and `"error"` where that is false.
//!
//! Only the user that runs the instance may connect (the socket's mode is 0600). Not here: what the answers say.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::desk::{Ask, Counter};

/// Bytes that a request may have: a model's document, escaped.
const REQUEST_BYTES_MAX: u64 = 16 << 20;
/// A client that says nothing for this long is let go.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// The client's patience: the verifier may take a while over a large model.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// A listening socket; its file goes with it.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
}

impl Control {
    /// Listens at `path` in a thread. The caller holds the instance's lock, so a file that is there is a dead one's.
    pub fn listen(path: PathBuf, counter: Counter) -> Result<Self, String> {
        let _ = fs::remove_file(&path);
        let failed = |error: std::io::Error| format!("control socket {}: {error}", path.display());
        let listener = UnixListener::bind(&path).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let serve = move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is its own loss.
                let _ = answer(&stream, &counter);
            }
        };
        thread::Builder::new().name("control".to_owned()).spawn(serve).map_err(failed)?;
        Ok(Self { path })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn answer(mut stream: &UnixStream, counter: &Counter) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let mut text = match serde_json::from_str(&line) {
        Ok(request) => counter.ask(Ask::Control(request)).unwrap_or_else(|| refusal("the instance is ending").to_string()),
        Err(error) => refusal(&format!("not a request: {error}")).to_string(),
    };
    text.push('\n');
    stream.write_all(text.as_bytes())
}

/// An answer that says no.
pub fn refusal(error: &str) -> Value {
    json!({ "ok": false, "error": error })
}

/// Asks the instance that listens at `path`; an answer that says no is an error.
pub fn ask(path: &Path, request: &Value) -> Result<Value, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut stream = UnixStream::connect(path).map_err(failed)?;
    stream.set_read_timeout(Some(ANSWER_MAX)).map_err(failed)?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(failed)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(failed)?;
    let answer: Value = serde_json::from_str(&line).map_err(|error| format!("{}: not an answer: {error}", path.display()))?;
    match (answer["ok"].as_bool(), answer["error"].as_str()) {
        (Some(true), _) => Ok(answer),
        (_, Some(error)) => Err(error.to_owned()),
        (_, None) => Err(format!("{}: no answer", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::desk;

    /// A socket behind which a loop echoes, for `questions` questions.
    fn echo(path: &Path, questions: usize) -> Control {
        let (mut desk, counter) = desk::open().expect("a desk");
        thread::spawn(move || {
            let mut answered = 0;
            while answered < questions {
                match desk.next() {
                    Some(desk::Question { ask: Ask::Control(request), reply }) => {
                        let _ = reply.send(json!({ "ok": true, "echo": request }).to_string());
                        answered += 1;
                    }
                    _ => thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        Control::listen(path.to_owned(), counter).expect("listens")
    }

    #[test]
    fn a_request_comes_back_answered_and_the_file_goes_with_the_socket() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let control = echo(&path, 2);
        for request in [json!({ "do": "status" }), json!({ "do": "swap", "model": "x".repeat(4 << 20) })] {
            assert_eq!(ask(&path, &request).expect("an answer")["echo"], request);
        }
        assert_eq!(fs::metadata(&path).expect("a socket").permissions().mode() & 0o777, 0o600);
        drop(control);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_request_is_refused_and_a_loop_that_ended_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let _control = echo(&path, 0);
        let mut stream = UnixStream::connect(&path).expect("connects");
        stream.write_all(b"no json\n").expect("writes");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        assert!(text.contains("not a request"), "{text}");
        let error = ask(&path, &json!({ "do": "status" })).expect_err("no loop");
        assert_eq!(error, "the instance is ending");
    }
}
