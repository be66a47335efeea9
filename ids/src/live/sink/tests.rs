//! Lines through each kind of target, and what breaks on the way.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::{UnixDatagram, UnixListener};

use super::*;

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come to hold");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_target_is_a_file_standard_output_or_a_socket() {
    assert_eq!("-".parse(), Ok(Target::Stdout));
    assert_eq!("eve.json".parse(), Ok(Target::File("eve.json".into())));
    assert_eq!("unix:/run/eve.sock".parse(), Ok(Target::Socket("/run/eve.sock".into())));
    for text in ["", "unix:"] {
        assert!(text.parse::<Target>().is_err(), "{text:?}");
    }
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew_when_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let [path, moved] = ["eve.json", "eve.json.1"].map(|name| folder.path().join(name));
    let mut sink = Sink::open(&Target::File(path.clone())).expect("a file");
    sink.send("one".to_owned());
    eventually("the first line", || sink.tally().written() == 1);
    fs::rename(&path, &moved).expect("moves");
    sink.send("two".to_owned());
    assert!(sink.reopen());
    sink.send("three".to_owned());
    assert!(sink.close(Duration::from_secs(10)));
    assert_eq!(fs::read_to_string(&moved).expect("a file"), "one\ntwo\n");
    assert_eq!(fs::read_to_string(&path).expect("a file"), "three\n");
    assert_eq!((sink.tally().written(), sink.tally().lost()), (3, 0));
}

#[test]
fn a_stream_socket_that_comes_back_is_connected_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("eve.sock");
    let listener = UnixListener::bind(&path).expect("binds");
    let sink = Sink::open(&Target::Socket(path.clone())).expect("connects");
    sink.send("one".to_owned());
    let mut line = String::new();
    let (stream, _) = listener.accept().expect("a connection");
    BufReader::new(stream).read_line(&mut line).expect("a line");
    assert_eq!(line, "one\n");
    drop(listener);
    fs::remove_file(&path).expect("removes");
    let listener = UnixListener::bind(&path).expect("binds again");
    let reader = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("a line");
        line
    });
    eventually("the second connection", || {
        sink.send("two".to_owned());
        thread::sleep(Duration::from_millis(100));
        reader.is_finished()
    });
    assert_eq!(reader.join().expect("no panic"), "two\n");
    assert!(sink.tally().lost() > 0, "what was sent between is counted");
}

#[test]
fn a_file_that_was_left_within_a_line_goes_on_with_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("eve.json");
    fs::write(&path, "whole\ntor").expect("writes");
    let mut sink = Sink::open(&Target::File(path.clone())).expect("a file");
    sink.send("one".to_owned());
    eventually("the first line", || sink.tally().written() == 1);
    // By another process, which died of it; opened again without having been moved away.
    fs::write(&path, "whole\ntor\none\ntor").expect("writes");
    assert!(sink.reopen());
    sink.send("two".to_owned());
    assert!(sink.close(Duration::from_secs(10)));
    assert_eq!(fs::read_to_string(&path).expect("a file"), "whole\ntor\none\ntor\ntwo\n");
    fs::write(&path, "").expect("writes");
    let mut sink = Sink::open(&Target::File(path.clone())).expect("a file");
    sink.send("three".to_owned());
    assert!(sink.close(Duration::from_secs(10)));
    assert_eq!(fs::read_to_string(&path).expect("a file"), "three\n");
}

#[test]
fn a_line_that_broke_in_a_stream_leaves_nothing_in_the_next_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("eve.sock");
    let listener = UnixListener::bind(&path).expect("binds");
    let mut sink = Sink::open(&Target::Socket(path)).expect("connects");
    // More than the socket's buffers take; the reader goes in the middle of it.
    sink.send("x".repeat(8 << 20));
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut start = [0; 1000];
    stream.read_exact(&mut start).expect("its start");
    drop(stream);
    eventually("the broken line is lost", || sink.tally().lost() == 1);
    thread::sleep(RETRY + Duration::from_millis(100));
    sink.send("two".to_owned());
    let (stream, _) = listener.accept().expect("a connection");
    assert!(sink.close(Duration::from_secs(10)));
    assert_eq!(io::read_to_string(stream).expect("all of it"), "two\n");
    assert_eq!((sink.tally().written(), sink.tally().lost()), (1, 1));
}

#[test]
fn a_datagram_is_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("eve.sock");
    let receiver = UnixDatagram::bind(&path).expect("binds");
    let sink = Sink::open(&Target::Socket(path)).expect("connects");
    sink.send("one".to_owned());
    let mut bytes = [0; 16];
    let length = receiver.recv(&mut bytes).expect("a datagram");
    assert_eq!(&bytes[..length], b"one\n");
}

#[test]
fn a_reader_that_stops_costs_lines_and_no_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("eve.sock");
    let _listener = UnixListener::bind(&path).expect("binds");
    let mut sink = Sink::open(&Target::Socket(path)).expect("connects");
    let start = Instant::now();
    for _ in 0..4 * QUEUE_MAX {
        sink.send("x".repeat(100));
    }
    assert!(!sink.close(Duration::from_millis(100)));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(sink.tally().lost() > 0);
}
