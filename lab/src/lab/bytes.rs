//! Text -> bytes of a constant, a key or a value: a number, or bytes as they lie in memory.

use super::LabError;
use crate::bpf::Object;

/// The bytes of `size` that a text says: a number of 1, 2, 4 or 8 bytes (`80`, `0x50`, `-1`; little-endian), or pairs of digits between
/// colons (`0a:00:00:01`), of any size. The error says what is wrong.
pub fn parse(text: &str, size: usize) -> Result<Vec<u8>, String> {
    if text.contains(':') {
        let bytes: Result<Vec<u8>, _> = text.split(':').map(|digits| u8::from_str_radix(digits, 16)).collect();
        let bytes = bytes.map_err(|_| format!("`{text}`: between colons stand bytes of two hexadecimal digits"))?;
        return if bytes.len() == size { Ok(bytes) } else { Err(format!("`{text}` has {} bytes, not {size}", bytes.len())) };
    }
    let number = match text.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number_of(number.map_err(|_| format!("`{text}` is neither a number nor bytes like 0a:00:00:01"))?, size)
}

/// A number in `size` bytes, little-endian.
pub fn number_of(number: i128, size: usize) -> Result<Vec<u8>, String> {
    if !matches!(size, 1 | 2 | 4 | 8) {
        return Err(format!("it has {size} bytes, which no number has; give bytes like 0a:00:00:01"));
    }
    let bits = 8 * size;
    if number < -(1 << (bits - 1)) || number >= 1 << bits {
        return Err(format!("{number} does not fit into {size} bytes"));
    }
    Ok(number.to_le_bytes()[..size].to_vec())
}

/// The bytes of a global constant of an object; its size is that of its symbol.
pub fn global(elf: &[u8], name: &str, text: &str) -> Result<Vec<u8>, LabError> {
    let wrong = |reason: String| LabError::Option { option: format!("--set {name}"), reason };
    let size = Object::variable_size(elf, name).map_err(|error| wrong(error.to_string()))?;
    parse(text, size).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes_are_read_in_their_size() {
        assert_eq!(parse("80", 2), Ok(vec![80, 0]));
        assert_eq!(parse("0x50", 1), Ok(vec![80]));
        assert_eq!(parse("-1", 4), Ok(vec![255; 4]));
        assert_eq!(parse("0a:00:01", 3), Ok(vec![10, 0, 1]));
        assert_eq!(parse("18446744073709551615", 8), Ok(vec![255; 8]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (text, size) in [("256", 1), ("-129", 1), ("1", 3), ("0a:00", 4), ("x", 4), ("0g:00", 2)] {
            assert!(parse(text, size).is_err(), "{text}");
        }
    }
}
