//! The verifier's messages (`kernel/bpf/verifier.c`, 5.10 to 7.x), the rule behind each and what usually helps.

/// A message that is known.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Words that the message has.
    pub pattern: &'static str,
    /// The rule, in a sentence.
    pub rule: &'static str,
    /// What usually helps.
    pub remedy: &'static str,
}

const fn rule(pattern: &'static str, rule: &'static str, remedy: &'static str) -> Rule {
    Rule { pattern, rule, remedy }
}

/// The table; the first that fits counts.
pub const RULES: [Rule; 29] = [
    rule(
        "_or_null'",
        "An address that may be null is not followed before a test for null.",
        "Test the pointer (`if (!value) return ...;`) on every path before its first use.",
    ),
    rule(
        "invalid access to packet",
        "Bytes of a packet are read only where a comparison with its end has shown that they are there.",
        "Compare `data + offset + size` with `data_end` before the access, with the very pointer that is then used.",
    ),
    rule(
        "invalid access to map value",
        "An access to a map's value lies within the value for every value that its offset may have.",
        "Bound the index right before the access (`if (i >= N) return ...;`), or mask it (`i & (N - 1)`).",
    ),
    rule(
        "unbounded memory access",
        "An offset into memory has a known upper bound.",
        "Compare the offset with its bound, as an unsigned number, right before the access.",
    ),
    rule("min value is negative", "An offset or a size cannot be negative.", "Use an unsigned type, or test for numbers below zero first."),
    rule(
        "R0 !read_ok",
        "A program sets its result before it ends, and a function's result is read only if it has one.",
        "Return a value on every path.",
    ),
    rule(
        "!read_ok",
        "A register is read only after it was written; a call leaves r1 to r5 without a value.",
        "Initialise the variable on every path; check that a function's arguments are those its prototype says.",
    ),
    rule(
        "invalid read from stack",
        "Bytes of the stack are read only after they were written, and within the 512 bytes of a frame.",
        "Initialise the whole variable, its padding too (`= {}` or `__builtin_memset`).",
    ),
    rule(
        "invalid indirect read from stack",
        "What a helper reads from the stack was written before, to the last byte.",
        "Initialise the whole key or value, its padding too (`= {}` or `__builtin_memset`).",
    ),
    rule("invalid write to stack", "Stores to the stack lie within the 512 bytes of a frame.", "Use less stack or bound the index."),
    rule(
        "invalid stack type",
        "An address in the stack given to a helper has its size below the frame's end.",
        "Check the size that the helper is given.",
    ),
    rule(
        "invalid bpf_context access",
        "Only fields of the context that this program type has are read or written, at their place and size.",
        "Use the fields of `struct xdp_md` or `struct __sk_buff` that the program type allows; check the type (section name).",
    ),
    rule(
        "dereference of modified ctx ptr",
        "The context is accessed at constant offsets from its start.",
        "Keep the context's pointer unchanged and access its fields directly.",
    ),
    rule(
        "back-edge",
        "On this kernel, or by this program's rights, loops are refused.",
        "Unroll the loop (`#pragma unroll`), or load with CAP_BPF on a kernel of 5.3 or later.",
    ),
    rule(
        "infinite loop detected",
        "A loop changes something that ends it.",
        "Give the loop a constant bound and a counter that the compiler keeps.",
    ),
    rule(
        "BPF program is too large",
        "The verifier looks at no more than a million instructions over all paths.",
        "Split the program (tail calls, global functions), or bound loops by less; `bpf_loop` is verified once.",
    ),
    rule(
        "The sequence of",
        "The verifier keeps no more than 8192 pending jumps.",
        "Have fewer branches in a row, or split the program by tail calls or global functions.",
    ),
    rule(
        "combined stack size",
        "The frames of nested functions have 512 bytes together.",
        "Move large variables into a map (a per-CPU array of one entry), or call less deeply.",
    ),
    rule(
        "unreachable insn",
        "Every instruction can be reached.",
        "Look for code behind an endless loop or after a function that never returns.",
    ),
    rule(
        "last insn is not an exit or jmp",
        "A program's and a function's last instruction ends it.",
        "Look for a panic or `__builtin_unreachable` on a path: it leaves nothing behind it.",
    ),
    rule(
        "func unknown",
        "A program calls helpers that the kernel has for its type.",
        "Check the kernel's version, and the helper's number, in `man bpf-helpers`.",
    ),
    rule(
        "unknown func",
        "A program calls helpers that the kernel has for its type.",
        "Check the kernel's version, and the program's type (section name), in `man bpf-helpers`.",
    ),
    rule(
        "program of this type cannot use helper",
        "A program calls helpers that the kernel has for its type.",
        "Use another program type, or a helper that this one has.",
    ),
    rule(
        "cannot call GPL-restricted function",
        "Some helpers are only for programs under a license compatible with the GPL.",
        "Declare the license: `char _license[] SEC(\"license\") = \"GPL\";`.",
    ),
    rule(
        "Unreleased reference",
        "What was acquired (a socket, a record of a ring buffer) is released on every path.",
        "Call the releasing helper (`bpf_ringbuf_submit`, `bpf_ringbuf_discard`, `bpf_sk_release`) before each return.",
    ),
    rule(
        "pointer arithmetic",
        "Arithmetic upon an address is adding to it and subtracting from it, for those kinds of address that allow it.",
        "Test for null first; do not compute with a map, a packet's end or the result of a lookup before the test.",
    ),
    rule(
        "At program exit the register R0",
        "A program's result is one of those its type allows.",
        "Return one of the values that the program type has.",
    ),
    rule(
        "type=",
        "A helper is given arguments of the kinds that its prototype has.",
        "Check the order of arguments, and that a pointer points to stack, packet or map as the helper wants.",
    ),
    rule(
        "cannot write into",
        "What the program may only read is not written.",
        "Copy it first; constants in `.rodata` and maps with BPF_F_RDONLY_PROG stay as they are.",
    ),
];

/// The rule of a message.
pub(super) fn find(log: &str, message: &str) -> Option<&'static Rule> {
    let text = if message.is_empty() { log } else { message };
    RULES.iter().find(|rule| text.contains(rule.pattern))
}
