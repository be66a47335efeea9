//! Clients that take their time, at the metrics and at the control socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use crate::lab::{Lab, Result, equal, holds, ip, within};
use crate::report::address;

/// One who waits longer, waits for others.
const PATIENCE: Duration = Duration::from_mins(1);

/// Some say nothing, some say a byte now and then, some do not read what they asked for; and many ask at once.
pub fn slow(lab: &Lab) -> Result {
    ip(&format!("-n {} link set lo up", lab.there))?;
    let instance = lab.run(&["--metrics=0"])?;
    let address = address(&instance)?;
    let path = lab.socket()?;
    let mut silent = vec![];
    for _ in 0..20 {
        silent.push(UnixStream::connect(&path)?);
        UnixStream::connect(&path)?.write_all(b"{\"do\": \"flows\"}\n")?;
    }
    let pages = within(&lab.there, move || -> std::io::Result<Vec<String>> {
        let connect = || TcpStream::connect(address);
        let held = (0..40).map(|_| connect()).collect::<std::io::Result<Vec<_>>>()?;
        for mut slow in (0..5).map(|_| connect()).collect::<std::io::Result<Vec<_>>>()? {
            thread::spawn(move || {
                while slow.write_all(b"G").is_ok() {
                    thread::sleep(Duration::from_secs(2));
                }
            });
        }
        for mut deaf in &held[..20] {
            deaf.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")?;
        }
        let scrapes: Vec<_> = (0..50).map(|_| thread::spawn(move || scrape(address))).collect();
        let pages = scrapes.into_iter().map(|scrape| scrape.join().expect("no panic")).collect();
        drop(held);
        pages
    })??;
    for page in &pages {
        holds("each is served", page.starts_with("HTTP/1.1 200 OK") && page.contains("\ntreeline_packets_total 0\n"), page)?;
    }
    equal("the status's packets", lab.status()?["packets"].as_u64(), Some(0))?;
    drop(silent);
    let huge = within(&lab.there, move || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        let _ = stream.write_all(&[b"GET /metrics HTTP/1.1\r\nCookie: ".to_vec(), vec![b'x'; 1 << 18]].concat());
        let mut page = String::new();
        let _ = stream.read_to_string(&mut page);
        Ok(page)
    })??;
    holds("a huge one is refused", huge.starts_with("HTTP/1.1 431 "), &huge)?;
    equal("exit code", instance.stop()?.code, Some(0))
}

fn scrape(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}
