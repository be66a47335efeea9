//! The program as a whole: its jumps, its length, its functions and their stack.

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "back-edge",
        &["back-edge"],
        "A function does not call itself, and before 5.3, or without CAP_BPF, nothing jumps back.",
        "Turn recursion into a loop. Unroll the loop (`#pragma unroll`), or load with CAP_BPF on a kernel of 5.3 or later.",
    ),
    rule(
        "endless-loop",
        &["infinite loop detected"],
        "A loop changes something that ends it.",
        "Give the loop a constant bound and a counter that the compiler keeps; or use `bpf_loop`.",
    ),
    rule(
        "too-many-instructions",
        &["liveness analysis exceeded complexity limit", "BPF program is too large"],
        "The verifier looks at no more than a million instructions over all paths.",
        "Split the program (tail calls, global functions), or bound loops by less; `bpf_loop` is verified once.",
    ),
    rule(
        "too-many-jumps",
        &["The sequence of * jumps is too complex"],
        "The verifier keeps no more than 8192 pending jumps.",
        "Have fewer branches in a row, or split the program by tail calls or global functions.",
    ),
    rule(
        "stack-too-large",
        &["combined stack size", "stack size * is too large", "stack size of subprog * Too large", "exceeds interpreter stack depth"],
        "The frames of nested functions have 512 bytes together.",
        "Move large variables into a map (a per-CPU array of one entry), or call less deeply.",
    ),
    rule(
        "calls-too-deep",
        &["the call stack of * frames is too deep", "recursive call from"],
        "Functions call each other no more than 8 deep, and never themselves.",
        "Turn recursion into a loop; inline small functions.",
    ),
    rule(
        "too-many-functions",
        &["too many subprograms"],
        "A program has no more than 256 functions.",
        "Inline the small ones (`__always_inline`).",
    ),
    rule(
        "call-target",
        &["call to invalid destination", "invalid insn idx"],
        "A call goes to the start of a function in the program.",
        "The object is damaged, or was not linked: check the calls to functions of other files.",
    ),
    rule(
        "jump-out-of-range",
        &["* is too big", "doesn't point to any offset in map", "jump out of range", "jump table", "points to outside of jump table"],
        "A jump stays within its function.",
        "In assembly, check the label; from a compiler it is a bug or a damaged object.",
    ),
    rule(
        "rewrite-too-long",
        &["cannot be patched due to 16-bit range", "poke descriptor failed"],
        "A program stays short enough for its jumps of 16 bits after the kernel has rewritten it.",
        "Split the program by tail calls or global functions.",
    ),
    rule(
        "jump-into-constant",
        &["jump into the middle of ldimm64"],
        "A jump does not lead into the second half of an instruction of 16 bytes.",
        "In assembly, count `ll` loads as two when jumps are given as numbers.",
    ),
    rule(
        "unreachable",
        &["unreachable insn"],
        "Every instruction can be reached.",
        "Look for code behind an endless loop or after a function that never returns.",
    ),
    rule(
        "no-end",
        &["last insn is not an exit or jmp"],
        "A program's and a function's last instruction ends it.",
        "Look for a panic, `__builtin_unreachable` or a missing `return` on a path: it leaves nothing behind it.",
    ),
    rule(
        "uninitialised-trap",
        &["unexpected __bpf_trap()"],
        "The compiler found a path on which a variable has no value, and put a trap there.",
        "Initialise the variable; compile with `-Wall` to see which.",
    ),
    rule(
        "packet-load",
        &[
            "LD_ABS is only allowed in functions that return",
            "BPF_LD_[ABS|IND] instructions not allowed",
            "R6 != pointer to skb",
            "LD_ABS is not allowed in subprogs without BTF",
        ],
        "The packet loads of classic BPF are for socket filters and TC, with the context in r6.",
        "Use `bpf_skb_load_bytes`, or direct packet access where the type has it.",
    ),
    rule(
        "instruction-encoding",
        &[
            "uses reserved fields",
            "unknown opcode",
            "unknown insn class",
            "invalid BPF_",
            "uses invalid atomic opcode",
            "unrecognized bpf_ld_imm64",
            "invalid bpf_ld_imm64",
            "invalid BPF_LD_IMM insn",
            "invalid atomic operand size",
            "invalid may_goto",
            "Unknown conditional jump",
        ],
        "An instruction is one that this kernel has, with 0 in the fields it does not use.",
        "Compile for an older instruction set (`-mcpu=v3`, `-mcpu=v2`): 5.10 has no fetching atomics, and none before 6.6 has v4.",
    ),
];
