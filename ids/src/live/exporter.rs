//! The metrics over HTTP: `GET /metrics`, one connection at a time, nothing else. Not here: the text, which is [`super::metric`]'s.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::desk::{Ask, Counter};

/// Bytes that a request's head may have.
const HEAD_BYTES_MAX: u64 = 16 << 10;
/// A client that says nothing, or does not read, for this long is let go.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Serves the metrics at `address` in a thread; returns the address that it listens on.
pub fn listen(address: SocketAddr, counter: Counter) -> Result<SocketAddr, String> {
    let failed = |error: std::io::Error| format!("--metrics {address}: {error}");
    let listener = TcpListener::bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let serve = move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is its own loss.
            let _ = answer(&stream, &counter);
        }
    };
    thread::Builder::new().name("metrics".to_owned()).spawn(serve).map_err(failed)?;
    Ok(bound)
}

fn answer(mut stream: &TcpStream, counter: &Counter) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    let mut head = BufReader::new(stream.take(HEAD_BYTES_MAX)).lines();
    let request = head.next().transpose()?.unwrap_or_default();
    for line in head {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => match counter.ask(Ask::Metrics) {
            Some(text) => ("200 OK", text),
            None => ("503 Service Unavailable", "the instance is ending\n".to_owned()),
        },
        ("GET" | "HEAD", _) => ("404 Not Found", "the metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "GET /metrics\n".to_owned()),
    };
    let kind = if status.starts_with("200") { super::metric::CONTENT_TYPE } else { "text/plain; charset=utf-8" };
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    if method == "HEAD" { Ok(()) } else { stream.write_all(body.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::desk;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.write_all(request.as_bytes()).expect("writes");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }

    #[test]
    fn only_the_metrics_are_served() {
        let (mut desk, counter) = desk::open().expect("a desk");
        let address = listen("127.0.0.1:0".parse().expect("an address"), counter).expect("listens");
        let other = ask(address, "GET / HTTP/1.0\r\n\r\n");
        assert!(other.starts_with("HTTP/1.1 404 "), "{other}");
        let other = ask(address, "POST /metrics HTTP/1.1\r\n\r\n");
        assert!(other.starts_with("HTTP/1.1 405 "), "{other}");
        let client = thread::spawn(move || ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"));
        let question = loop {
            if let Some(question) = desk.next() {
                break question;
            }
            thread::sleep(Duration::from_millis(1));
        };
        question.reply.send("a 1\n".to_owned()).expect("waits");
        let text = client.join().expect("no panic");
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("Content-Length: 4\r\n") && text.ends_with("\r\n\r\na 1\n"),
            "{text}"
        );
    }
}
