//! A capture file through the reader: at once, in small pieces, and cut short.
//!
//! What must hold: frames are numbered and no longer than a record may be; an error names the frame it stopped at; after an error or the end
//! comes nothing more; how the bytes arrive changes nothing; a file cut short gives the frames before the cut, unchanged. Compressed files are
//! only read at once, for what a decompressor loses before damage depends on how it is fed. Not here: memory, which the fuzzer watches.

use std::io::{self, Cursor, Read};
use std::sync::Arc;

use super::Finding;
use crate::Frame;
use crate::capture::link::ETHERNET_HEADER_LENGTH;
use crate::capture::{Capture, CaptureError, RECORD_LENGTH_MAX};

/// Frames read of one file: a few compressed bytes may hold millions of empty ones.
const FRAMES_MAX: u64 = 4_096;
const NAME: &str = "capture";

/// Reads the capture in `bytes` in all ways; gives the number of frames.
pub fn capture(bytes: &[u8]) -> Result<u64, Finding> {
    let bytes: Arc<[u8]> = bytes.into();
    let mut whole = Reading::new(Capture::from_reader(Cursor::new(Arc::clone(&bytes)), NAME));
    if is_compressed(&bytes) {
        while whole.next()? {}
        return Ok(whole.frames_count);
    }
    let pieces = Pieces { bytes: Arc::clone(&bytes), position: 0 };
    let mut pieces = Reading::new(Capture::from_reader(pieces, NAME));
    // Any length will do as long as the same bytes give the same.
    let cut = bytes.len() * usize::from(bytes.last().copied().unwrap_or_default()) / 256;
    let mut cut = Reading::new(Capture::from_reader(Cursor::new(bytes[..cut].to_vec()), NAME));
    loop {
        let more = whole.next()?;
        let found = pieces.next()?;
        whole.compare(&pieces, more == found && whole.end == pieces.end, "a file read in pieces gives the same")?;
        if cut.next()? {
            whole.compare(&cut, more, "a file cut short gives the frames before the cut")?;
        }
        if !more {
            return Ok(whole.frames_count);
        }
    }
}

/// gzip, zstd or one of zstd's skippable frames.
fn is_compressed(bytes: &[u8]) -> bool {
    matches!(bytes, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// A capture, its frame at hand, and how it ended.
struct Reading {
    capture: Option<Capture>,
    frame: Frame,
    frames_count: u64,
    end: Option<String>,
}

impl Reading {
    fn new(opened: Result<Capture, CaptureError>) -> Self {
        let (capture, end) = match opened {
            Ok(mut capture) => {
                capture.stop_after(FRAMES_MAX);
                (Some(capture), None)
            }
            Err(error) => (None, Some(error.to_string())),
        };
        Self { capture, frame: Frame::default(), frames_count: 0, end }
    }

    /// Reads the next frame and checks what must hold of it alone; false at the end.
    fn next(&mut self) -> Result<bool, Finding> {
        let Some(capture) = &mut self.capture else { return Ok(false) };
        if self.frames_count == FRAMES_MAX {
            return Ok(false);
        }
        let broken = |promise, found| Err(Finding::Capture { frame: self.frames_count, promise, found });
        let result = capture.next_into(&mut self.frame);
        if let Ok(true) = result {
            if self.frame.index != self.frames_count + capture.unsupported().count() {
                return broken("frames are numbered from 0, those left out included", self.frame.index.to_string());
            }
            if self.frame.bytes.len() > RECORD_LENGTH_MAX as usize + ETHERNET_HEADER_LENGTH {
                return broken("a frame is no longer than a record may be", self.frame.bytes.len().to_string());
            }
            self.frames_count += 1;
            return Ok(true);
        }
        let text = result.err().map(|error| error.to_string());
        // Where all are left out, the first is named.
        let left_out = if self.frames_count == 0 { 0 } else { capture.unsupported().count() };
        let named = [self.frames_count + left_out, capture.frames_count()].map(|frame| format!("frame {frame}:"));
        if text.as_ref().is_some_and(|text| !named.iter().any(|named| text.contains(named))) {
            return broken("an error names the frame it stopped at", text.unwrap_or_default());
        }
        let after = capture.next_into(&mut self.frame);
        if !matches!(after, Ok(false)) {
            return broken("after the end comes nothing more", format!("{after:?}"));
        }
        self.capture = None;
        self.end = Some(text.unwrap_or_default());
        Ok(false)
    }

    fn compare(&self, other: &Self, alike: bool, promise: &'static str) -> Result<(), Finding> {
        if alike && self.frame == other.frame {
            return Ok(());
        }
        let text = |reading: &Self| format!("{} frames, the last {:?}, end {:?}", reading.frames_count, reading.frame, reading.end);
        Err(Finding::Capture { frame: self.frames_count, promise, found: format!("{} against {}", text(self), text(other)) })
    }
}

/// Gives 1, 2, .. 16 bytes a call.
struct Pieces {
    bytes: Arc<[u8]>,
    position: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.position..];
        let count = (self.position % 16 + 1).min(rest.len()).min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count;
        Ok(count)
    }
}
