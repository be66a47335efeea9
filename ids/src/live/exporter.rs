//! The metrics over HTTP: `GET /metrics`, nothing else. Not here: the text, which is [`super::metric`]'s.

use std::fmt::{self, Display, Formatter};
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::str::FromStr;

use super::door::{self, Manner, Visit};
use super::request::{Client, Request};
use super::survey::Query;

/// Bytes that a request's head may have.
const HEAD_BYTES_MAX: u64 = 16 << 10;
/// Connections at a time.
const CLIENTS_MAX: usize = 128;

/// Where metrics are served: `9464` on the loopback device alone, `:9464` at all addresses, or an address or name with a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `None`: all addresses.
    host: Option<String>,
    port: u16,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or(("127.0.0.1", text));
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let Ok(port) = port.parse() else {
            return Err(format!("{port:?} is no port; expected PORT, :PORT for all addresses, or ADDRESS:PORT"));
        };
        if bracketed.is_none() && host.contains(':') {
            return Err("an IPv6 address stands in brackets: [::1]:9464".to_owned());
        }
        let host = bracketed.unwrap_or(host);
        Ok(Self { host: (!host.is_empty()).then(|| host.to_owned()), port })
    }
}

impl Display for Place {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) if host.contains(':') => write!(formatter, "[{host}]:{}", self.port),
            host => write!(formatter, "{}:{}", host.as_deref().unwrap_or_default(), self.port),
        }
    }
}

impl Place {
    /// Listens: at all addresses that the name has, where they are there.
    fn bind(&self) -> io::Result<Vec<TcpListener>> {
        let Some(host) = &self.host else {
            // The first takes both versions, where there is IPv6.
            let every = [IpAddr::from(Ipv6Addr::UNSPECIFIED), Ipv4Addr::UNSPECIFIED.into()].map(|host| SocketAddr::from((host, self.port)));
            return Ok(vec![TcpListener::bind(&every[..])?]);
        };
        let mut addresses: Vec<_> = (host.as_str(), self.port).to_socket_addrs()?.collect();
        addresses.sort();
        addresses.dedup();
        let (mut listeners, mut failure) = (vec![], io::ErrorKind::AddrNotAvailable.into());
        for address in addresses {
            match TcpListener::bind(address) {
                Ok(listener) => listeners.push(listener),
                // localhost may stand for an IPv6 address that the machine does not have.
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => failure = error,
                Err(error) => return Err(error),
            }
        }
        if listeners.is_empty() { Err(failure) } else { Ok(listeners) }
    }
}

/// Serves the metrics; returns the addresses that it listens on.
pub fn listen(place: &Place, client: &Client) -> Result<Vec<SocketAddr>, String> {
    let failed = |error: io::Error| format!("--metrics {place}: {error}");
    let manner = Manner::new(CLIENTS_MAX, response("503 Service Unavailable", "too many connections\n"));
    let mut bound = vec![];
    for listener in place.bind().map_err(failed)? {
        bound.push(listener.local_addr().map_err(failed)?);
        let client = client.clone();
        door::open("metrics", listener, manner.clone(), move |visit| answer(visit, &client)).map_err(failed)?;
    }
    Ok(bound)
}

fn answer(mut visit: Visit<TcpStream>, client: &Client) -> io::Result<()> {
    let mut head = (&mut visit).take(HEAD_BYTES_MAX);
    let mut lines = BufReader::new(&mut head).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut is_whole = false;
    for line in lines {
        is_whole = line?.is_empty();
        if is_whole {
            break;
        }
    }
    let mut words = request.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let text = match (method, path) {
        _ if !is_whole && head.limit() == 0 => response("431 Request Header Fields Too Large", "the request is too long\n"),
        ("GET" | "HEAD", "/metrics") => match metrics(client) {
            Ok(text) => response("200 OK", &text),
            Err(error) => response("503 Service Unavailable", &format!("{error}\n")),
        },
        ("GET" | "HEAD", _) => response("404 Not Found", "the metrics are at /metrics\n"),
        _ => response("405 Method Not Allowed", "GET /metrics\n"),
    };
    let end = if method == "HEAD" { text.find("\r\n\r\n").map_or(text.len(), |end| end + 4) } else { text.len() };
    visit.answer(&text.as_bytes()[..end])?;
    if is_whole && matches!(method, "GET" | "HEAD") {
        return Ok(());
    }
    // A connection that is closed with something unread loses the answer on its way.
    visit.stream().shutdown(Shutdown::Write)?;
    io::copy(&mut visit.take(1 << 20), &mut io::sink()).map(|_| ())
}

fn metrics(client: &Client) -> Result<String, String> {
    let survey = client.surveyor.ask(Query::default())?;
    client.ask(Request::Metrics(survey)).map(|answer| answer.text).ok_or_else(|| "the instance is ending".to_owned())
}

fn response(status: &str, body: &str) -> String {
    let kind = if status.starts_with("200") { super::metric::CONTENT_TYPE } else { "text/plain; charset=utf-8" };
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::live::request;
    use crate::live::survey::Surveyor;
    use crate::live::survey::tests::Empty;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.write_all(request.as_bytes()).expect("writes");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }

    #[test]
    fn only_the_metrics_are_served() {
        let surveyor = Surveyor::start(Arc::new(Empty), 1).expect("a thread");
        let (mut inbox, client) = request::open(surveyor).expect("an inbox");
        let [address] = listen(&"0".parse().expect("a place"), &client).expect("listens")[..] else { panic!("one address") };
        assert!(address.ip().is_loopback(), "{address}");
        let other = ask(address, "GET / HTTP/1.0\r\n\r\n");
        assert!(other.starts_with("HTTP/1.1 404 "), "{other}");
        let other = ask(address, "POST /metrics HTTP/1.1\r\n\r\n");
        assert!(other.starts_with("HTTP/1.1 405 "), "{other}");
        let other = ask(address, &format!("GET /metrics HTTP/1.1\r\nCookie: {}", "x".repeat(1 << 18)));
        assert!(other.starts_with("HTTP/1.1 431 "), "{other}");
        let other = ask(address, "HEAD / HTTP/1.1\r\n\r\n");
        assert!(other.starts_with("HTTP/1.1 404 ") && other.ends_with("\r\n\r\n"), "{other}");
        let client = thread::spawn(move || ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"));
        let pending = loop {
            if let Some(pending) = inbox.next() {
                break pending;
            }
            thread::sleep(Duration::from_millis(1));
        };
        let _ = pending.reply.send("a 1\n".to_owned());
        let text = client.join().expect("no panic");
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("Content-Length: 4\r\n") && text.ends_with("\r\n\r\na 1\n"),
            "{text}"
        );
    }
    #[test]
    fn a_place_is_a_port_or_an_address_with_one() {
        let place = |text: &str| text.parse::<Place>().map(|place| place.to_string());
        for (text, shown) in [
            ("9464", "127.0.0.1:9464"),
            (":9464", ":9464"),
            ("localhost:9464", "localhost:9464"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:9464", "[::1]:9464"),
        ] {
            assert_eq!(place(text).as_deref(), Ok(shown));
        }
        for text in ["", "localhost", "127.0.0.1", "9464:", "65536", "::1:9464", "fe80::1", "x:y"] {
            assert!(place(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_name_is_served_at_its_addresses_and_no_host_at_all_of_them() {
        let surveyor = Surveyor::start(Arc::new(Empty), 1).expect("a thread");
        let (_inbox, client) = request::open(surveyor).expect("an inbox");
        for (text, host) in [("localhost:0", "127.0.0.1"), (":0", "127.0.0.1")] {
            let bound = listen(&text.parse().expect("a place"), &client).expect("listens");
            let port = bound.iter().find(|address| address.is_ipv4() || address.ip().is_unspecified()).expect("one").port();
            let address = SocketAddr::from((host.parse::<Ipv4Addr>().expect("an address"), port));
            assert!(ask(address, "GET / HTTP/1.0\r\n\r\n").contains(" 404 "), "{text}");
        }
        let refusal = listen(&"nowhere.invalid:1".parse().expect("a place"), &client).expect_err("no such host");
        assert!(refusal.starts_with("--metrics nowhere.invalid:1: "), "{refusal}");
    }
}
