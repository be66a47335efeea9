//! Arithmetic upon addresses, and addresses that would get out.

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "arithmetic-before-null-check",
        &["null-check it first"],
        "Nothing is added to an address that may be null before a test for null.",
        "Test the pointer before the arithmetic; the compiler may have moved the addition up, which a `barrier()` behind the test prevents.",
    ),
    rule(
        "arithmetic-32-bit",
        &["32-bit pointer arithmetic prohibited"],
        "Arithmetic upon an address is of 64 bits; the lower half is no address.",
        "Compute with pointers or `unsigned long`, not with `int` or `__u32`.",
    ),
    rule(
        "bitwise-on-pointer",
        &["bitwise operator"],
        "An address is not masked nor combined by bits.",
        "Mask the number before it is added to the pointer. To align, compute with offsets.",
    ),
    rule(
        "arithmetic-operator",
        &["pointer arithmetic with * operator prohibited"],
        "An address is not multiplied, divided or shifted.",
        "Do it with the offset, before it is added.",
    ),
    rule(
        "arithmetic-kind",
        &["pointer arithmetic on * prohibited"],
        "Nothing is added to an address of this kind: a map, a packet's end, the context's field, a socket.",
        "Compute from the start of the data instead (`data + n`, not `data_end - n`).",
    ),
    rule(
        "pointer-and-pointer",
        &["pointer *= pointer prohibited"],
        "Two addresses are not added; only the distance of two of a packet is taken.",
        "Add a number to one of them.",
    ),
    rule(
        "pointer-from-number",
        &["tried to subtract pointer from scalar"],
        "An address is not subtracted from a number.",
        "Subtract the number from the address, or compare the two addresses.",
    ),
    rule(
        "stack-subtraction",
        &["subtraction from stack pointer prohibited"],
        "From an address in the stack nothing is subtracted; negative numbers are added.",
        "Index the array from its start.",
    ),
    rule(
        "offset-unbounded",
        &["math between * pointer and", "makes * pointer be out of bounds", "pointer offset * is not allowed"],
        "What is added to an address is bounded, and keeps it within 2^29 bytes of its start.",
        "Bound the number before it is added (`if (n > MAX) return ...;`), and use an unsigned type.",
    ),
    rule(
        "pointer-comparison",
        &["pointer comparison prohibited"],
        "Unprivileged programs compare addresses only with null, and a packet's with its end.",
        "Compare offsets, or load with CAP_PERFMON.",
    ),
    rule(
        "speculation",
        &[
            "beyond pointer bounds",
            "pushed for speculative verification",
            "mixed signed bounds",
            "pointer with unsupported alu operation",
            "from different maps, paths or scalars",
            "pointer arithmetic of map value goes out of range",
        ],
        "For programs without CAP_PERFMON the verifier follows also what a processor may guess: the offset stays in bounds there, too.",
        "Load with CAP_PERFMON, or mask the index (`i & (N - 1)`) instead of comparing it.",
    ),
    rule(
        "pointer-leak",
        &["leaks addr", "leaking pointer from stack", "partial copy of pointer", "sign-extension part of pointer"],
        "A program without CAP_PERFMON lets no address of the kernel out: not into maps, packets, results or in part.",
        "Store what the pointer leads to, not the pointer; or load with CAP_PERFMON.",
    ),
    rule(
        "arithmetic-prohibited",
        &["pointer arithmetic prohibited"],
        "An address is not negated, nor are its bytes swapped.",
        "Do it with the value that the pointer leads to.",
    ),
    rule(
        "frame-pointer",
        &["frame pointer is read only"],
        "Register r10, the frame's end, is never changed.",
        "In assembly, copy it to another register first.",
    ),
    rule(
        "one-instruction-two-kinds",
        &["same insn cannot be used with different pointers", "same insn cannot be used with and without arena"],
        "One instruction accesses one kind of memory on all paths that lead to it.",
        "Have an access in each branch: the compiler joined two of them (a `barrier_var()` or `asm volatile` in each keeps them apart).",
    ),
];
