//! The reader itself: where its bytes come from, and what it says of them.

use std::io::{self, Cursor, Read, Write};
use std::process::{Command, Stdio};

use treeline_lab::capture::{Capture, CaptureError};

use crate::by_hand::{frame, gzip, pcap, read_from, record};

/// Gives one byte at a time, with an interruption before each, and fails at the end.
struct Trickle {
    bytes: Vec<u8>,
    position: usize,
    interrupted: bool,
}

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let Some(byte) = self.bytes.get(self.position) else { return Err(io::Error::other("unplugged")) };
        buffer[0] = *byte;
        self.position += 1;
        Ok(1)
    }
}

#[test]
fn read_error_comes_after_the_frames_before_it() {
    let bytes = [pcap(1), record(0, 0, 1, b"a"), record(0, 0, 1, b"b")].concat();
    let (frames, error) = read_from(Trickle { bytes, position: 0, interrupted: false });
    assert_eq!(frames.len(), 2);
    assert!(matches!(error, Some(CaptureError::Read { offset: 58, frame_index: 2, .. })), "{error:?}");
}

#[test]
fn dash_is_standard_input() {
    // The test runs itself again with the capture on its standard input.
    const INNER: &str = "TREELINE_TEST_STANDARD_INPUT";
    if std::env::var_os(INNER).is_some() {
        let capture = Capture::open("-".as_ref()).expect("a capture");
        assert_eq!(capture.bytes_total(), None);
        let frames: Vec<_> = capture.map(|frame| frame.expect("sound")).collect();
        assert_eq!(frames, [frame(0, 0, 1, b"a")]);
        return;
    }
    let mut inner = Command::new(std::env::current_exe().expect("a test"))
        .args(["--exact", "reader::dash_is_standard_input"])
        .env(INNER, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let file = gzip(&[pcap(1), record(0, 0, 1, b"a")].concat());
    inner.stdin.take().expect("piped").write_all(&file).expect("a pipe");
    let output = inner.wait_with_output().expect("an end");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[test]
fn a_capture_can_be_read_on_another_thread() {
    let file = [pcap(1), record(0, 0, 1, b"a")].concat();
    let capture = Capture::from_reader(Cursor::new(file), "test").expect("a capture");
    assert_eq!(std::thread::spawn(|| capture.count()).join().expect("a thread"), 1);
}

#[test]
fn progress_counts_bytes_of_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("misnamed.txt");
    let file = gzip(&[pcap(1), record(0, 0, 1, b"a")].concat());
    std::fs::write(&path, &file).expect("written");
    let mut capture = Capture::open(&path).expect("a capture");
    assert_eq!(capture.bytes_total(), Some(file.len() as u64));
    assert_eq!(capture.by_ref().count(), 1);
    assert_eq!(capture.bytes_read(), file.len() as u64);
}
