//! Files that may be compressed with gzip or zstd: their first bytes decide.

use std::io::{self, BufReader, Cursor, Read};

/// Most that is asked of a decompressor at once, bytes: what it made before an error within one call is lost.
const DECOMPRESSED_READ_MAX: usize = 16 * 1024;

/// Largest window that a zstd file may ask for, as a power of two bytes; also the limit of the command `zstd -d`.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Decompresses what `reader` gives if it begins like gzip or zstd; also returns how much to ask for at once. Fails if the first bytes
/// cannot be read.
pub fn reader(mut reader: impl Read + Send + 'static) -> io::Result<(Box<dyn Read + Send>, usize)> {
    let mut magic = Vec::with_capacity(4);
    reader.by_ref().take(4).read_to_end(&mut magic)?;
    let kind = magic.clone();
    let whole = Cursor::new(magic).chain(reader);
    Ok(match kind[..] {
        [0x1f, 0x8b, ..] => (Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(whole))), DECOMPRESSED_READ_MAX),
        // A frame, or a skippable one: RFC 8878, sections 3.1.1 and 3.1.2.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            let mut decoder = zstd::Decoder::with_buffer(BufReader::new(whole))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            (Box::new(decoder), DECOMPRESSED_READ_MAX)
        }
        _ => (Box::new(whole), usize::MAX),
    })
}
