//! Return values by name, as the kernel's headers call them (`include/uapi/linux/bpf.h`, `include/uapi/linux/pkt_cls.h`, v6.18).

use crate::vm::Hook;

const XDP: [&str; 5] = ["XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"];
const TC: [&str; 9] = [
    "TC_ACT_OK",
    "TC_ACT_RECLASSIFY",
    "TC_ACT_SHOT",
    "TC_ACT_PIPE",
    "TC_ACT_STOLEN",
    "TC_ACT_QUEUED",
    "TC_ACT_REPEAT",
    "TC_ACT_REDIRECT",
    "TC_ACT_TRAP",
];
/// tcx has names of its own for some of them.
const TCX: [(&str, u32); 4] = [("TCX_NEXT", u32::MAX), ("TCX_PASS", 0), ("TCX_DROP", 2), ("TCX_REDIRECT", 7)];

/// The value's name, or the number: of XDP unsigned, of TC signed, of a socket filter bytes.
#[must_use]
pub fn name(hook: Hook, returned: u32) -> String {
    let names: &'static [&'static str] = match hook {
        Hook::Xdp => &XDP,
        Hook::Tc if returned == u32::MAX => return "TC_ACT_UNSPEC".to_owned(),
        Hook::Tc => &TC,
        Hook::Socket => &[],
    };
    match (names.get(returned as usize), hook) {
        (Some(name), _) => (*name).to_owned(),
        (None, Hook::Tc) => returned.cast_signed().to_string(),
        (None, _) => returned.to_string(),
    }
}

/// Why a text is no return value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// A number that does not fit.
    #[error("{text} has more than 32 bits")]
    Wide {
        /// As given.
        text: String,
    },
    /// A name, where there are none.
    #[error("`{text}`: a socket filter returns a number, the bytes that it keeps")]
    NoNames {
        /// As given.
        text: String,
    },
    /// A name that the hook does not have.
    #[error("`{text}` is no return value of this hook; give a number, or one of {}", names.join(", "))]
    Unknown {
        /// As given.
        text: String,
        /// The hook's names.
        names: &'static [&'static str],
    },
}

/// The value that a name or a number stands for.
///
/// # Errors
///
/// A number of more than 32 bits, or a name that the hook does not have; the error lists those it has.
pub fn parse(hook: Hook, text: &str) -> Result<u32, ParseError> {
    if let Ok(number) = text.parse::<i64>() {
        let value = u32::try_from(number).ok().or_else(|| i32::try_from(number).ok().map(i32::cast_unsigned));
        return value.ok_or_else(|| ParseError::Wide { text: text.to_owned() });
    }
    let wanted = text.to_ascii_uppercase();
    let names: &'static [&'static str] = match hook {
        Hook::Xdp => &XDP,
        Hook::Tc => &TC,
        Hook::Socket => return Err(ParseError::NoNames { text: text.to_owned() }),
    };
    let position = names.iter().position(|name| *name == wanted || name.rsplit('_').next() == Some(&wanted));
    let special = (hook == Hook::Tc).then(|| TCX.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value));
    let unspecified = (hook == Hook::Tc && matches!(wanted.as_str(), "TC_ACT_UNSPEC" | "UNSPEC")).then_some(u32::MAX);
    position
        .and_then(|position| u32::try_from(position).ok())
        .or(special.flatten())
        .or(unspecified)
        .ok_or_else(|| ParseError::Unknown { text: text.to_owned(), names })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for (hook, values) in [(Hook::Xdp, 0..5), (Hook::Tc, 0..9), (Hook::Socket, 0..3)] {
            for value in values.chain([77, u32::MAX]) {
                assert_eq!(parse(hook, &name(hook, value)), Ok(value), "{hook:?}");
            }
        }
    }

    #[test]
    fn short_and_tcx_names_are_known() {
        assert_eq!(parse(Hook::Xdp, "drop"), Ok(1));
        assert_eq!(parse(Hook::Tc, "TCX_DROP"), Ok(2));
        assert_eq!(parse(Hook::Tc, "-1"), Ok(u32::MAX));
        assert!(parse(Hook::Xdp, "TC_ACT_OK").unwrap_err().to_string().contains("XDP_PASS"));
        assert_eq!(parse(Hook::Socket, "drop"), Err(ParseError::NoNames { text: "drop".to_owned() }));
        assert_eq!(parse(Hook::Xdp, "99999999999"), Err(ParseError::Wide { text: "99999999999".to_owned() }));
    }
}
