//! Registers as the verifier's log shows them, and in words: `pkt(id=1,off=14,r=34,umax_value=60,var_off=(0x0; 0x3c))`.

use std::collections::BTreeMap;

/// Names and states on a line: `R1=ctx() R10=fp0 fp-8=mmmm`, 5.10's `R1_w=inv3`; names in lower case.
pub(super) fn registers(text: &str) -> impl Iterator<Item = (String, &str)> {
    words_of(text).into_iter().filter_map(|word| {
        let (name, state) = word.split_once('=')?;
        let name = name.split('_').next()?;
        let number = name.strip_prefix('R')?;
        (!number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())).then(|| (name.to_lowercase(), state))
    })
}

/// Offsets and states of the stack on a line: `fp-8=pkt(r=14)`, 5.10's `fp-8_w=pkt`.
pub(super) fn slots(text: &str) -> impl Iterator<Item = (i32, &str)> {
    words_of(text).into_iter().filter_map(|word| {
        let (name, state) = word.split_once('=')?;
        let offset = name.split('_').next()?.strip_prefix("fp")?;
        Some((offset.parse().ok().filter(|offset| *offset < 0)?, state))
    })
}

/// The frame that a line is about, 0 for the program's own; `None` for a line that says nothing.
pub(super) fn frame(text: &str) -> Option<usize> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let number = text.strip_prefix("frame").and_then(|rest| rest.split_once(':')).and_then(|(number, _)| number.parse().ok());
    Some(number.unwrap_or(0))
}

/// What a state says of being an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown<'a> {
    /// A number, or bytes.
    Number,
    /// An address, or a dynptr or an iterator on the stack.
    Address {
        /// `pkt`, `ringbuf_mem`, `dynptr_skb`
        kind: &'a str,
        /// The number of what was acquired.
        reference: Option<u32>,
        is_non_owning: bool,
        /// Frame, where the line says it, and offset of an address in the stack.
        stack: Option<(Option<usize>, i32)>,
    },
}

impl<'a> Shown<'a> {
    pub(super) fn of(state: &'a str) -> Self {
        let plain = state.trim_start_matches('P');
        let kind = plain.split('(').next().unwrap_or_default();
        let number = kind.strip_prefix("inv").unwrap_or(kind).trim_start_matches('P');
        let is_bytes = kind.bytes().all(|byte| b"m0?".contains(&byte)) || kind.contains('?');
        if is_bytes || kind.ends_with("scalar") || number.is_empty() || number.starts_with("0x") || number.parse::<i64>().is_ok() {
            return Self::Number;
        }
        let stack = kind.strip_prefix("fp").and_then(|place| {
            let (frame, offset) =
                place.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or((None, place), |(frame, rest)| (Some(frame), rest));
            let offset = if offset.is_empty() { Some(0) } else { offset.parse().ok() };
            Some((frame.and_then(|frame| frame.parse().ok()), offset?))
        });
        let reference = ["ref_obj_id=", "ref_id="].iter().find_map(|name| {
            let (_, rest) = plain.split_once(name)?;
            rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok().filter(|id| *id > 0)
        });
        Self::Address { kind, reference, is_non_owning: plain.contains("non_own_ref"), stack }
    }
}

/// Words between blanks that are in no parentheses.
fn words_of(text: &str) -> Vec<&str> {
    parts(text, ' ')
}

fn parts(text: &str, separator: char) -> Vec<&str> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (place, letter) in text.char_indices() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ if letter == separator && depth == 0 => {
                found.push(&text[start..place]);
                start = place + letter.len_utf8();
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found
}

/// Kinds of address by their names in the log, precise ones first; a star at the end takes more letters.
const KINDS: [(&str, &str); 27] = [
    ("map_value_or_null", "what a map lookup gave, the address of a value or null"),
    ("map_value", "an address in a map's value"),
    ("map_ptr", "a map"),
    ("map_key", "an address in a map's key"),
    ("ctx", "the context"),
    ("fp", "an address in the stack"),
    ("pkt_end", "the packet's end"),
    ("pkt_meta", "an address in the packet's metadata"),
    ("pkt", "an address in the packet"),
    ("flow_keys", "the flow keys"),
    ("ringbuf_mem_or_null", "a reserved record, or null"),
    ("ringbuf_mem", "an address in a reserved record"),
    ("alloc_mem_or_null", "a reserved record, or null"),
    ("rdonly_mem_or_null", "memory that may only be read, or null"),
    ("mem_or_null", "memory of known size, or null"),
    ("alloc_mem", "an address in a reserved record"),
    ("rdonly_mem", "an address in memory that may only be read"),
    ("mem", "an address in memory of known size"),
    ("sock_or_null", "a socket, or null"),
    ("sock_common_or_null", "a socket, or null"),
    ("tcp_sock_or_null", "a TCP socket, or null"),
    ("sock_common", "a socket, of which little is known"),
    ("xdp_sock", "an AF_XDP socket"),
    ("sock", "a socket"),
    ("tcp_sock", "a TCP socket"),
    ("func", "the address of a function"),
    ("buf", "an address in a buffer"),
];

/// A register's state in words. What has none is given as the log has it.
pub(super) fn words(state: &str) -> String {
    let plain = state.trim_start_matches('P');
    let (kind, fields) = plain.split_once('(').map_or((plain, ""), |(kind, fields)| (kind, fields.strip_suffix(')').unwrap_or(fields)));
    if let Some(offset) = kind.strip_prefix("fp").and_then(|offset| offset.parse::<i64>().ok()) {
        return stack(offset);
    }
    // 5.10 writes `inv5`, and `invP5` where the value counts.
    let number = kind.strip_prefix("inv").unwrap_or(kind).trim_start_matches('P');
    if number.starts_with("0x") || number.parse::<i64>().is_ok() {
        return format!("the number {number}");
    }
    let fields = self::fields(fields);
    if matches!(kind, "scalar" | "inv") {
        return range(&fields).map_or_else(|| "any number".to_owned(), |range| format!("a number {range}"));
    }
    let Some((_, words)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        return object(kind).unwrap_or_else(|| state.to_owned());
    };
    let mut parts = vec![(*words).to_owned()];
    parts.extend(fields.get("map").map(|map| format!(" of map `{map}`")));
    parts.extend(fields.get("vs").filter(|_| kind == "map_value").map(|size| format!(", which has {size} bytes")));
    let constant = fields.get("off").or_else(|| fields.get("imm")).filter(|offset| !matches!(**offset, "0" | "0x0"));
    parts.extend(match (constant, range(&fields)) {
        (None, None) => None,
        (Some(offset), None) => Some(format!(", at offset {offset}")),
        (None, Some(range)) => Some(format!(", at an offset {range}")),
        (Some(offset), Some(range)) => Some(format!(", at offset {offset} and a number {range} more")),
    });
    parts.extend(fields.get("r").filter(|_| matches!(kind, "pkt" | "pkt_meta")).map(|checked| match *checked {
        "0" => ", not compared with its end".to_owned(),
        checked => format!(", of whose start {checked} bytes were compared with its end"),
    }));
    parts.concat()
}

fn stack(offset: i64) -> String {
    match offset {
        0 => "the end of the frame on the stack".to_owned(),
        offset => format!("the address of the stack {} bytes {} the frame's end", offset.abs(), if offset < 0 { "below" } else { "above" }),
    }
}

/// `ptr_task_struct`, `trusted_ptr_or_null_sk_buff`: objects of the kernel.
fn object(kind: &str) -> Option<String> {
    let (trust, name) = kind.split_once("ptr_")?;
    let trust = match trust.trim_end_matches('_') {
        "" => "",
        "trusted" => "trusted ",
        "untrusted" => "untrusted ",
        "rcu" => "RCU-protected ",
        _ => return None,
    };
    let (name, null) = name.strip_prefix("or_null_").map_or((name, ""), |name| (name, ", or null"));
    Some(format!("a {trust}pointer to the kernel's `{name}`{null}"))
}

/// `smin=smin32=0,smax=umax=12`: each name with its value.
fn fields(text: &str) -> BTreeMap<&str, &str> {
    let mut fields = BTreeMap::new();
    for part in parts(text, ',') {
        let mut words: Vec<&str> = part.split('=').collect();
        if part.contains('(') {
            words = part.splitn(2, '=').collect();
        }
        if let Some((value, names)) = words.split_last() {
            fields.extend(names.iter().map(|name| (name.strip_suffix("_value").unwrap_or(name), *value)));
        }
    }
    fields
}

/// A bound; the log has negative ones beyond a million as 64 bits.
fn signed(value: &str, name: &str) -> String {
    let bits = value.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    match bits.map(u64::cast_signed) {
        Some(number) if number < 0 && name.starts_with('s') => format!("-{:#x}", number.unsigned_abs()),
        _ => value.to_owned(),
    }
}

/// What is known of a number's size, or of an offset's.
fn range(fields: &BTreeMap<&str, &str>) -> Option<String> {
    let known = |name: &str| fields.get(name).map(|value| signed(value, name));
    let negative = known("smin").is_some_and(|least| least.starts_with('-'));
    let least = known("umin").or_else(|| known("smin").filter(|_| !negative));
    let most = known("umax").or_else(|| known("smax").filter(|most| !most.starts_with('-') && least.is_some() && !negative));
    match (least, most) {
        (least, Some(most)) => Some(format!("from {} to {most}", least.unwrap_or_else(|| "0".to_owned()))),
        (Some(least), None) => Some(format!("of at least {least}, unbounded above")),
        (None, None) => match (known("smin"), known("smax")) {
            (Some(least), Some(most)) => Some(format!("from {least} to {most}, with its sign")),
            (Some(least), None) => Some(format!("of at least {least}, with its sign")),
            (None, Some(most)) => Some(format!("of at most {most} with its sign, unbounded without")),
            (None, None) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_old_and_new_kernels_are_told_in_words() {
        let told = [
            ("ctx(id=0,off=0,imm=0)", "the context"),
            ("fp-8", "the address of the stack 8 bytes below the frame's end"),
            ("inv3", "the number 3"),
            ("invP3", "the number 3"),
            ("P7", "the number 7"),
            ("0xffffffff", "the number 0xffffffff"),
            ("scalar()", "any number"),
            ("inv(id=0)", "any number"),
            ("inv(id=0,umax_value=12,var_off=(0x0; 0xc))", "a number from 0 to 12"),
            ("scalar(smin=smin32=0,smax=umax=smax32=umax32=12,var_off=(0x0; 0xc))", "a number from 0 to 12"),
            ("scalar(smin=0xffffffff80000000,smax=0x7fffffff)", "a number from -0x80000000 to 0x7fffffff, with its sign"),
            ("scalar(smin=-3,smax=9)", "a number from -3 to 9, with its sign"),
            ("scalar(umin=5)", "a number of at least 5, unbounded above"),
            ("scalar(smax=4)", "a number of at most 4 with its sign, unbounded without"),
            ("pkt(r=0)", "an address in the packet, not compared with its end"),
            ("pkt(off=14,r=34)", "an address in the packet, at offset 14, of whose start 34 bytes were compared with its end"),
            (
                "pkt(id=1,off=0,r=0,umax_value=12,var_off=(0x0; 0xc))",
                "an address in the packet, at an offset from 0 to 12, not compared with its end",
            ),
            ("map_value(map=table,ks=4,vs=8)", "an address in a map's value of map `table`, which has 8 bytes"),
            ("map_value_or_null(id=1,off=0,ks=4,vs=8,imm=0)", "what a map lookup gave, the address of a value or null"),
            ("trusted_ptr_sk_buff()", "a trusted pointer to the kernel's `sk_buff`"),
            ("ptr_or_null_task_struct(id=2)", "a pointer to the kernel's `task_struct`, or null"),
            ("crypto(a=1)", "crypto(a=1)"),
        ];
        for (state, expected) in told {
            assert_eq!(words(state), expected, "{state}");
        }
    }

    #[test]
    fn addresses_are_told_from_numbers_on_old_and_new_kernels() {
        for number in
            ["inv3", "invP0", "inv(id=0)", "scalar()", "Pscalar(umax=4)", "P7", "-8", "0xffffffff", "mmmmmmmm", "0000????", "????scalar()"]
        {
            assert_eq!(Shown::of(number), Shown::Number, "{number}");
        }
        let address = |kind, reference, stack| Shown::Address { kind, reference, is_non_owning: false, stack };
        assert_eq!(Shown::of("pkt(id=0,off=0,r=14,imm=0)"), address("pkt", None, None));
        assert_eq!(Shown::of("pkt"), address("pkt", None, None), "spilled, on 5.10");
        assert_eq!(Shown::of("mem(id=0,ref_obj_id=2,off=0,imm=0)"), address("mem", Some(2), None));
        assert_eq!(Shown::of("dynptr_ringbuf(ref_id=3)"), address("dynptr_ringbuf", Some(3), None));
        assert_eq!(Shown::of("map_value(map=m,ks=4,vs=8)"), address("map_value", None, None));
        assert_eq!(Shown::of("fp-16"), address("fp-16", None, Some((None, -16))));
        assert_eq!(Shown::of("fp[0]-16"), address("fp[0]-16", None, Some((Some(0), -16))));
        assert_eq!(slots(" frame1: R1=fp-8 R10=fp0 fp-8_w=pkt fp-16=mmmm").collect::<Vec<_>>(), [(-8, "pkt"), (-16, "mmmm")]);
        assert_eq!((frame(" frame1: R1=1"), frame("R1=1"), frame(" ")), (Some(1), Some(0), None));
    }

    #[test]
    fn a_line_of_states_is_parted_outside_of_parentheses() {
        let line = "R0_w=inv1 R2=pkt(id=1,r=0,var_off=(0x0; 0xc)) R10=fp0 fp-8=mmmm???? refs=2";
        let found: Vec<_> = registers(line).collect();
        let name = |name: &str| name.to_owned();
        assert_eq!(found, [(name("r0"), "inv1"), (name("r2"), "pkt(id=1,r=0,var_off=(0x0; 0xc))"), (name("r10"), "fp0")]);
    }
}
