//! What a file is that is no BPF object, in words that say what to do. Not here: objects that are damaged.

const ELF_HEADER_BYTES: usize = 20;
const MACHINE_BPF: u16 = 247;
/// What the first compilers for BPF wrote.
const MACHINE_NONE: u16 = 0;

/// Why these bytes are no relocatable little-endian BPF ELF object; `None` where they are one by their header.
pub(super) fn refusal(bytes: &[u8]) -> Option<String> {
    let no_elf = |what: &str| Some(format!("{what}; give the ELF object that `clang --target=bpf -c` makes"));
    if bytes.is_empty() {
        return no_elf("the file is empty");
    }
    if !bytes.starts_with(b"\x7fELF") {
        return match bytes {
            [b'B', b'C', 0xc0, 0xde, ..] | [0xde, 0xc0, 0x17, 0x0b, ..] => {
                Some("the file is LLVM bitcode; compile without `-emit-llvm` and `-flto`, or make an object of it with `llc -march=bpf -filetype=obj`".to_owned())
            }
            _ if bytes.starts_with(b"!<arch>") || bytes.starts_with(b"!<thin>") => {
                Some("the file is an archive; take the object out of it (`ar x`), or link its members with `bpftool gen object`".to_owned())
            }
            [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => no_elf("the file is compressed"),
            _ => no_elf("the file is no ELF file"),
        };
    }
    let Some(header) = bytes.get(..ELF_HEADER_BYTES) else {
        return no_elf(&format!("the ELF file ends after {} bytes", bytes.len()));
    };
    let is_big = header[5] == 2;
    let half = |at: usize| {
        let bytes = [header[at], header[at + 1]];
        if is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    };
    let (kind, machine) = (half(16), half(18));
    if !matches!(machine, MACHINE_BPF | MACHINE_NONE) {
        return Some(format!("the ELF file is for another processor than BPF (machine {machine}); compile with `clang --target=bpf`"));
    }
    if is_big {
        return Some("the object is big-endian; compile with `--target=bpfel`".to_owned());
    }
    if header[4] != 2 {
        return Some("the ELF file is of 32 bits; a BPF object is of 64".to_owned());
    }
    let kind = match kind {
        1 => return None,
        2 => "an executable",
        3 => "a shared object",
        4 => "a core file",
        _ => "of an unknown kind",
    };
    Some(format!(
        "the ELF file is {kind}, and programs are loaded from relocatable objects; compile with `-c`, or link with `bpftool gen object`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(class: u8, order: u8, kind: u8, machine: u8) -> Vec<u8> {
        let mut bytes = b"\x7fELF".to_vec();
        bytes.extend([class, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(if order == 2 { [0, kind, 0, machine] } else { [kind, 0, machine, 0] });
        bytes
    }

    #[test]
    fn what_is_no_object_is_named() {
        let named = [
            (Vec::new(), "the file is empty"),
            (b"BC\xc0\xde1234".to_vec(), "LLVM bitcode"),
            (b"\xde\xc0\x17\x0b1234".to_vec(), "LLVM bitcode"),
            (b"!<arch>\nname".to_vec(), "an archive"),
            (b"!<thin>\nname".to_vec(), "an archive"),
            (b"\x1f\x8b\x08".to_vec(), "compressed"),
            (b"#include <linux/bpf.h>\n".to_vec(), "no ELF file"),
            (b"\x7fELF\x02".to_vec(), "ends after 5 bytes"),
            (header(2, 1, 1, 62), "another processor than BPF (machine 62)"),
            (header(1, 1, 1, 3), "another processor than BPF (machine 3)"),
            (header(2, 2, 1, 247), "big-endian"),
            (header(1, 1, 1, 247), "of 32 bits"),
            (header(2, 1, 2, 247), "an executable"),
            (header(2, 1, 3, 247), "a shared object"),
        ];
        for (bytes, words) in named {
            let text = refusal(&bytes).unwrap_or_default();
            assert!(text.contains(words), "{words}: {text}");
        }
        assert_eq!(refusal(&header(2, 1, 1, 247)), None);
        assert_eq!(refusal(&header(2, 1, 1, 0)), None, "as the first compilers wrote it");
    }
}
