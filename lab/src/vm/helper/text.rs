//! Helpers that read and write text: numbers, comparison, and the kernel's `printf` (`kernel/bpf/helpers.c`, v6.18).

use super::{E2BIG, EINVAL, ERANGE, Session, errno, with, word};

/// Longest string that is read from the program's memory at most, as the kernel's buffer for them has.
const STRING_MAX: usize = 512;
const ARGUMENTS_MAX: usize = 12;
/// Bytes of the kernel's buffer for a line.
const PRINT_MAX: usize = 1024;

/// As `bpf_trace_printk`, into the run's lines.
pub(super) fn print(format: u64, length: u64, first: u64, second: u64, site: u64) -> u64 {
    with(|session| {
        let format = session.bytes(1, format, word(length), site);
        let arguments = [first, second, session.fifth];
        session.print(&format, &arguments, site)
    })
}

/// As `bpf_trace_vprintk`.
pub(super) fn print_many(format: u64, length: u64, data: u64, data_length: u64, site: u64) -> u64 {
    with(|session| {
        let format = session.bytes(1, format, word(length), site);
        match session.arguments(3, data, word(data_length), site) {
            Ok(arguments) => session.print(&format, &arguments, site),
            Err(error) => errno(error),
        }
    })
}

/// As `bpf_snprintf`: how long the text is with its end, also where it did not fit.
pub(super) fn format(to: u64, length: u64, format: u64, data: u64, site: u64) -> u64 {
    with(|session| {
        let count = word(session.fifth);
        session.site = site;
        let format = session.string(3, format, site);
        let text = match session.arguments(4, data, count, site).and_then(|arguments| session.format(&format, &arguments, word(length))) {
            Ok(text) => text,
            Err(error) => return errno(error),
        };
        if let Some(room) = word(length).checked_sub(1) {
            let mut bytes = text.clone();
            bytes.truncate(room);
            bytes.push(0);
            session.write(1, to, &bytes, site);
        }
        text.len() as u64 + 1
    })
}

/// As `bpf_strncmp`: -1, 0 or 1.
pub(super) fn compare(one: u64, length: u64, other: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        let (one, other) = (session.bytes(1, one, word(length), site), session.string(3, other, site));
        for (left, right) in one.into_iter().zip(other.into_iter().chain(std::iter::repeat(0))) {
            if left != right {
                return if left < right { i64::from(-1).cast_unsigned() } else { 1 };
            }
            if left == 0 {
                break;
            }
        }
        0
    })
}

/// As `bpf_strtol`: bytes read, the number goes where r4 points.
pub(super) fn to_signed(text: u64, length: u64, flags: u64, result: u64, site: u64) -> u64 {
    with(|session| {
        let text = session.bytes(1, text, word(length), site);
        let parsed = number(&text, flags).and_then(|(magnitude, is_negative, count)| {
            let value = if is_negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
            value.map(|value| (value.cast_unsigned(), count)).ok_or(ERANGE)
        });
        session.answer(result, parsed, site)
    })
}

/// As `bpf_strtoul`.
pub(super) fn to_unsigned(text: u64, length: u64, flags: u64, result: u64, site: u64) -> u64 {
    with(|session| {
        let text = session.bytes(1, text, word(length), site);
        let parsed =
            number(&text, flags).and_then(|(value, is_negative, count)| if is_negative { Err(EINVAL) } else { Ok((value, count)) });
        session.answer(result, parsed, site)
    })
}

/// Magnitude, sign and how many bytes it took.
fn number(text: &[u8], flags: u64) -> Result<(u64, bool, usize), i32> {
    const DIGITS_MAX: usize = 63;
    let base = u32::try_from(flags & 0x1f).expect("five bits");
    if text.is_empty() || !matches!(base, 0 | 8 | 10 | 16) || flags & !0x1f != 0 {
        return Err(EINVAL);
    }
    let mut start = text.iter().take_while(|byte| is_space(**byte)).count();
    let is_negative = text.get(start) == Some(&b'-');
    start += usize::from(is_negative);
    let rest = &text[start..];
    if rest.is_empty() {
        return Err(EINVAL);
    }
    let rest = &rest[..rest.len().min(DIGITS_MAX)];
    let at = |index: usize| rest.get(index).copied().unwrap_or(0);
    let has_x = at(0) == b'0' && at(1).eq_ignore_ascii_case(&b'x');
    let base = match base {
        0 if has_x && at(2).is_ascii_hexdigit() => 16,
        0 if at(0) == b'0' => 8,
        0 => 10,
        base => base,
    };
    let prefix = if base == 16 && has_x { 2 } else { 0 };
    let digits = rest[prefix..].iter().map_while(|byte| char::from(*byte).to_digit(base));
    let (mut value, mut count, mut is_over) = (0_u64, 0, false);
    for digit in digits {
        let next = value.checked_mul(u64::from(base)).and_then(|value| value.checked_add(u64::from(digit)));
        is_over |= next.is_none();
        value = next.unwrap_or(0);
        count += 1;
    }
    match (is_over, count) {
        (true, _) => Err(ERANGE),
        (_, 0) => Err(EINVAL),
        _ => Ok((value, is_negative, start + prefix + count)),
    }
}

/// One `%…` of a format.
#[derive(Debug, Default)]
struct Field {
    width: usize,
    is_left: bool,
    is_zero: bool,
    /// Before a number that is not negative: `+`, a space or nothing.
    sign: &'static str,
}

impl Field {
    /// Flags and width at the start of `format`, and how many bytes they take.
    fn read(format: &[u8]) -> (Self, usize) {
        let mut field = Self::default();
        let mut count = 0;
        while let Some(flag) = format.get(count).filter(|byte| b"0+- ".contains(byte)) {
            match flag {
                b'0' => field.is_zero = true,
                b'+' => field.sign = "+",
                b'-' => field.is_left = true,
                _ if field.sign.is_empty() => field.sign = " ",
                _ => {}
            }
            count += 1;
        }
        while let Some(digit) = format.get(count).filter(|byte| byte.is_ascii_digit()) {
            field.width = field.width.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
            count += 1;
        }
        (field, count)
    }

    fn put(&self, out: &mut Vec<u8>, text: &[u8]) {
        let space = self.width.min(1 << 12).saturating_sub(text.len());
        if !self.is_left {
            out.resize(out.len() + space, b' ');
        }
        out.extend_from_slice(text);
        if self.is_left {
            out.resize(out.len() + space, b' ');
        }
    }

    fn put_number(&self, out: &mut Vec<u8>, sign: &str, digits: &str) {
        let length = sign.len() + digits.len();
        let zeroes = if self.is_zero && !self.is_left { self.width.min(1 << 12).saturating_sub(length) } else { 0 };
        self.put(out, format!("{sign}{}{digits}", "0".repeat(zeroes)).as_bytes());
    }

    fn put_signed(&self, out: &mut Vec<u8>, value: i64) {
        let sign = if value < 0 { "-" } else { self.sign };
        self.put_number(out, sign, &value.unsigned_abs().to_string());
    }
}

/// Whether the kernel prints the byte, which takes it for Latin-1.
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_graphic() || is_space(byte) || byte > 0xa0
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b || byte == 0xa0
}

/// Whether a conversion may end here.
fn is_end(next: Option<&u8>) -> bool {
    next.is_none_or(|byte| is_space(*byte) || byte.is_ascii_punctuation() || matches!(byte, 0xa1..=0xbf | 0xd7 | 0xf7))
}

impl Session {
    fn print(&mut self, format: &[u8], arguments: &[u64], site: u64) -> u64 {
        self.site = site;
        let Some(end) = format.iter().position(|byte| *byte == 0) else { return errno(EINVAL) };
        match self.format(&format[..end], arguments, PRINT_MAX) {
            Ok(text) => {
                // Of a longer one the buffer has the start and a zero byte.
                let line = &text[..text.len().min(PRINT_MAX - 1)];
                self.keep(line.len(), site);
                self.lines.push(String::from_utf8_lossy(line).into_owned());
                text.len() as u64
            }
            Err(error) => errno(error),
        }
    }

    /// The arguments of a print, eight bytes each.
    fn arguments(&self, argument: u8, address: u64, length: usize, site: u64) -> Result<Vec<u64>, i32> {
        if !length.is_multiple_of(8) || length > ARGUMENTS_MAX * 8 {
            return Err(EINVAL);
        }
        let bytes = self.bytes(argument, address, length, site);
        Ok(bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect())
    }

    /// Text up to its end, without it.
    fn string(&self, argument: u8, address: u64, site: u64) -> Vec<u8> {
        let mut text = Vec::new();
        loop {
            let byte = self.bytes(argument, address + text.len() as u64, 1, site)[0];
            if byte == 0 {
                return text;
            }
            text.push(byte);
        }
    }

    /// Text that a print is pointed to: what is not the program's is empty, as a fault is for the kernel.
    fn text_at(&self, address: u64) -> Vec<u8> {
        let readable = (0..STRING_MAX as u64).map(|offset| address.wrapping_add(offset)).take_while(|address| self.holds(*address, 1));
        let readable = readable.inspect(|address| self.expect_written(None, *address, 1, self.site));
        // SAFETY: `holds` made sure of the byte.
        let bytes = readable.map(|address| unsafe { *std::ptr::with_exposed_provenance::<u8>(usize::try_from(address).unwrap_or(0)) });
        bytes.take_while(|byte| *byte != 0).collect()
    }

    fn answer(&self, address: u64, parsed: Result<(u64, usize), i32>, site: u64) -> u64 {
        self.write(4, address, &parsed.map_or(0, |(value, _)| value).to_ne_bytes(), site);
        parsed.map_or_else(errno, |(_, count)| count as u64)
    }

    /// As `bpf_bprintf_prepare` and `bstr_printf`. Addresses print as zeroes: the kernel's are hashed.
    fn format(&self, format: &[u8], arguments: &[u64], room: usize) -> Result<Vec<u8>, i32> {
        let mut out = Vec::new();
        let mut arguments = arguments.iter().copied();
        let mut index = 0;
        while let Some(byte) = format.get(index) {
            if !is_printable(*byte) {
                return Err(EINVAL);
            }
            index += 1;
            if *byte != b'%' || format.get(index) == Some(&b'%') {
                out.push(*byte);
                index += usize::from(*byte == b'%');
                continue;
            }
            let argument = arguments.next().ok_or(EINVAL)?;
            let (field, count) = Field::read(&format[index..]);
            index += count;
            let before = out.len();
            index += self.convert(&mut out, &field, &format[index..], argument)?;
            // An address that starts beyond the room has no length, unlike all else.
            if before >= room && matches!(format[..index], [.., b'p', b'i' | b'I', b'4' | b'6']) {
                out.truncate(before);
            }
        }
        if out.len() > 1 << 16 { Err(E2BIG) } else { Ok(out) }
    }

    /// One conversion; the answer is how many bytes of the format it took.
    fn convert(&self, out: &mut Vec<u8>, field: &Field, format: &[u8], argument: u64) -> Result<usize, i32> {
        let is_long = format.first() == Some(&b'l');
        let longs = format.iter().take(2).take_while(|byte| **byte == b'l').count();
        let value = if is_long { argument } else { argument & u64::from(u32::MAX) };
        match &format[longs..] {
            [b'd' | b'i', ..] => {
                let value = argument.cast_signed();
                field.put_signed(
                    out,
                    if is_long { value } else { i64::from(u32::try_from(argument & 0xffff_ffff).expect("32 bits").cast_signed()) },
                );
            }
            [b'u', ..] => field.put_number(out, "", &value.to_string()),
            [b'x', ..] => field.put_number(out, "", &format!("{value:x}")),
            [b'X', ..] => field.put_number(out, "", &format!("{value:X}")),
            _ if is_long => return Err(EINVAL),
            [b'c', ..] => field.put(out, &argument.to_le_bytes()[..1]),
            [b's', next @ ..] if is_end(next.first()) => field.put(out, &self.text_at(argument)),
            [b'p', b'k' | b'u', b's', next @ ..] if is_end(next.first()) => {
                field.put(out, &self.text_at(argument));
                return Ok(3);
            }
            [b'p', b'x', ..] => {
                field.put_number(out, "", &format!("{argument:016x}"));
                return Ok(2);
            }
            [b'p', b'K' | b's' | b'S' | b'B', ..] => {
                field.put_number(out, "", &format!("{:016x}", 0));
                return Ok(2);
            }
            [b'p', kind @ (b'i' | b'I'), family @ (b'4' | b'6'), ..] => {
                field.put(out, self.address_at(argument, *kind, *family).as_bytes());
                return Ok(3);
            }
            [b'p', next @ ..] if is_end(next.first()) => field.put_number(out, "", &format!("{:016x}", 0)),
            _ => return Err(EINVAL),
        }
        Ok(longs + 1)
    }

    /// An IP address in memory, zero where it is not the program's: `%pI4`, `%pi4` with leading zeroes, `%pI6`, `%pi6` without colons.
    fn address_at(&self, address: u64, kind: u8, family: u8) -> String {
        let length = if family == b'4' { 4 } else { 16 };
        let bytes = if self.holds(address, length) { self.bytes(1, address, length, self.site) } else { vec![0; length] };
        let parts: Vec<String> = match (kind, family) {
            (b'I', b'4') => bytes.iter().map(u8::to_string).collect(),
            (_, b'4') => bytes.iter().map(|byte| format!("{byte:03}")).collect(),
            _ => bytes.chunks(2).map(|pair| format!("{:02x}{:02x}", pair[0], pair[1])).collect(),
        };
        parts.join(match (kind, family) {
            (_, b'4') => ".",
            (b'I', _) => ":",
            _ => "",
        })
    }
}
