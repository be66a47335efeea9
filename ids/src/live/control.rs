//! The control socket: one JSON document a line asks, one answers. `{"do": "status" | "flows" | "swap" | "detach", ...}`; an answer has
//! `"ok"`, and `"error"` where that is false.
//!
//! Only the user that runs the instance may connect (the socket's mode is 0600). Not here: what the answers say.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::door::{self, Manner, Visit};
use super::request::{Answer, Client, Request};
use super::survey::Query;

/// Bytes that a request may have: a model's document, escaped.
const REQUEST_BYTES_MAX: u64 = 16 << 20;
/// Connections at a time.
const CLIENTS_MAX: usize = 32;
/// The client's patience: the verifier may take a while over a large model.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// A listening socket; its file goes with it.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
}

impl Control {
    /// Listens at `path` in a thread. The caller holds the instance's lock, so a file that is there is a dead one's.
    pub fn listen(path: PathBuf, client: Client) -> Result<Self, String> {
        let _ = fs::remove_file(&path);
        let failed = |error: std::io::Error| format!("control socket {}: {error}", path.display());
        let listener = UnixListener::bind(&path).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let refusal = format!("{}\n", refusal(&format!("{CLIENTS_MAX} others are asking; try again")));
        door::open("control", listener, Manner::new(CLIENTS_MAX, refusal), move |visit| answer(visit, &client)).map_err(failed)?;
        Ok(Self { path })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn answer(mut visit: Visit<UnixStream>, client: &Client) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new((&mut visit).take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        _ if line.len() as u64 == REQUEST_BYTES_MAX && !line.ends_with('\n') => {
            Err(format!("not a request: it is longer than {} MiB", REQUEST_BYTES_MAX >> 20))
        }
        Ok(request) => answer_to(request, client),
        Err(error) => Err(format!("not a request: {error}")),
    };
    let answer = answer.unwrap_or_else(|error| Answer::from(refusal(&error).to_string()));
    visit.answer(format!("{}\n", answer.text).as_bytes())
}

/// What is in the flow table is found here, on the client's thread; the run loop says the rest.
fn answer_to(request: Value, client: &Client) -> Result<Answer, String> {
    let ending = || "the instance is ending".to_owned();
    match request["do"].as_str() {
        Some("status") => client.ask(Request::Status(client.surveyor.ask(Query::default())?)).ok_or_else(ending),
        Some("flows") => {
            let top = request["top"].as_u64().and_then(|top| usize::try_from(top).ok()).unwrap_or(usize::MAX);
            let survey = client.surveyor.ask(Query { top, ..Query::default() })?;
            // Somebody who asked at the same time may have wanted more.
            let rows = survey.top.get(..top).unwrap_or(&survey.top);
            Ok(json!({ "ok": true, "flows": rows }).to_string().into())
        }
        _ => client.ask(Request::Control(request)).ok_or_else(ending),
    }
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
    let written = stream.write_all(format!("{request}\n").as_bytes());
    let mut line = String::new();
    // An instance that does not take all of it has said why.
    BufReader::new(stream).read_line(&mut line).and_then(|count| if count == 0 { written } else { Ok(()) }).map_err(failed)?;
    if line.is_empty() {
        return Err(format!("{}: the instance ended before it answered", path.display()));
    }
    let answer: Value = serde_json::from_str(&line).map_err(|error| format!("{}: not an answer: {error}", path.display()))?;
    match (answer["ok"].as_bool(), answer["error"].as_str()) {
        (Some(true), _) => Ok(answer),
        (_, Some(error)) => Err(error.to_owned()),
        (_, None) => Err(format!("{}: no answer", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;
    use crate::live::request;
    use crate::live::survey::Surveyor;
    use crate::live::survey::tests::Empty;

    /// A socket behind which a loop echoes, for `requests` requests.
    fn echo(path: &Path, requests: usize) -> Control {
        let surveyor = Surveyor::start(Arc::new(Empty), 1).expect("a thread");
        let (mut inbox, client) = request::open(surveyor).expect("an inbox");
        thread::spawn(move || {
            let mut answered = 0;
            while answered < requests {
                match inbox.next() {
                    Some(request::Pending { request: Request::Control(request), reply }) => {
                        let _ = reply.send(json!({ "ok": true, "echo": request }).to_string());
                        answered += 1;
                    }
                    _ => thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        Control::listen(path.to_owned(), client).expect("listens")
    }

    #[test]
    fn a_request_comes_back_answered_and_the_file_goes_with_the_socket() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let control = echo(&path, 2);
        for request in [json!({ "do": "detach" }), json!({ "do": "swap", "model": "x".repeat(4 << 20) })] {
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
        assert_eq!(ask(&path, &json!({ "do": "flows" })).expect("needs no loop")["flows"], json!([]));
    }

    #[test]
    fn a_request_without_an_end_is_refused_at_a_length() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let _control = echo(&path, 0);
        let mut stream = UnixStream::connect(&path).expect("connects");
        let bytes = vec![b' '; 1 << 20];
        // The instance does not read on beyond its length.
        while stream.write_all(&bytes).is_ok() {}
        let mut text = String::new();
        BufReader::new(stream).read_line(&mut text).expect("an answer");
        assert!(text.contains("longer than 16 MiB"), "{text}");
    }
}
