//! What may be read and written: packets, map values, records, the stack, the context.

use super::{Rule, rule};

/// No message says it: the address has become a number.
pub(in crate::verifier) static STALE_PACKET: Rule = rule(
    "packet-pointer-stale",
    &[],
    "An address in the packet is valid up to the next call that may move or change the packet.",
    "After that call read `data` and `data_end` from the context again, and compare them again, before the packet is accessed.",
);

pub(super) const RULES: &[Rule] = &[
    rule(
        "null-check",
        &["invalid mem access '*_or_null"],
        "An address that may be null is not followed before a test for null.",
        "Test the pointer (`if (!value) return ...;`) on every path before its first use.",
    ),
    rule(
        "scalar-dereference",
        &["invalid mem access 'scalar'", "invalid mem access 'inv'"],
        "Memory is read and written only through addresses that the verifier knows; a number is none.",
        "Look for where the pointer became a number: a cast or 32-bit arithmetic, a value read back from memory, a register reused. \
         Read kernel memory with `bpf_probe_read_kernel`.",
    ),
    rule(
        "pointer-dereference",
        &["invalid mem access '", "invalid kptr access, R"],
        "Only addresses of memory are followed: not a map itself, a packet's end, or an object that helpers alone may use.",
        "Follow the pointer that leads to the data (`ctx->data`, what the lookup gave) and use this one only in comparisons and calls.",
    ),
    rule(
        "packet-bounds",
        &["invalid access to packet", "offset is outside of the packet"],
        "Bytes of a packet are read only where a comparison with its end has shown that they are there.",
        "Compare `data + offset + size` with `data_end` before the access, with the very pointer that is then used.",
    ),
    rule(
        "map-value-bounds",
        &["invalid access to map value, "],
        "An access to a map's value lies within the value for every value that its offset may have.",
        "Bound the index right before the access (`if (i >= N) return ...;`), or mask it (`i & (N - 1)`).",
    ),
    rule(
        "map-key-bounds",
        &["invalid access to map key"],
        "A callback reads a map's key within the key's size.",
        "Read no more than the key has; check the type to which the callback casts it.",
    ),
    rule(
        "memory-bounds",
        &["invalid access to memory", "invalid * buffer access", "invalid access to flow keys", "invalid access to context, ctx_size"],
        "An access to memory of known size (a record, a slice, a buffer) lies within it for every value that its offset may have.",
        "Reserve as much as is written, or bound the offset right before the access.",
    ),
    rule(
        "index-negative",
        &["min value is negative, either use unsigned index"],
        "An offset into memory cannot be negative.",
        "Use an unsigned type for the index, or test for numbers below zero before the access.",
    ),
    rule(
        "index-unbounded",
        &["unbounded memory access, make sure to bounds check"],
        "An offset into memory has a known upper bound.",
        "Compare the offset with its bound, as an unsigned number, right before the access; the compiler may have compared a copy.",
    ),
    rule(
        "memory-range",
        &["value is outside of the allowed memory range"],
        "The lowest and the highest offset that an access may have both lie within the memory.",
        "Tighten the bounds of the offset right before the access.",
    ),
    rule(
        "buffer-offset",
        &["invalid variable buffer offset", "invalid negative * buffer offset", "invalid variable offset to flow keys"],
        "A buffer of this kind is accessed at constant offsets.",
        "Take the offset out of the address: copy the buffer with a helper and index the copy.",
    ),
    rule(
        "map-read-forbidden",
        &["read from map forbidden"],
        "A map with BPF_F_WRONLY_PROG is not read by programs.",
        "Create the map without that flag.",
    ),
    rule(
        "map-write-forbidden",
        &["write into map forbidden"],
        "A map that programs may only read is not written: constants of `.rodata`, and maps with BPF_F_RDONLY_PROG.",
        "Take `const` from the variable, or copy what is to be changed.",
    ),
    rule(
        "key-write",
        &["write to change key"],
        "A map's key is not changed by a callback that goes over the map.",
        "Copy the key to the stack first, or delete the entry and put another.",
    ),
    rule(
        "packet-write",
        &["cannot write into packet", "does not allow writes to packet data"],
        "Not every program type writes into packets.",
        "Write in XDP, TC or LWT programs, or use `bpf_skb_store_bytes` where the type has it.",
    ),
    rule(
        "read-only",
        &[
            "cannot write into",
            "may write into memory pointed by",
            "only read is supported",
            "only read from * is supported",
            "Writes through BTF pointers",
        ],
        "What the program may only read is not written, nor given to a helper that writes.",
        "Copy it to the stack first, and change the copy.",
    ),
    rule(
        "atomic-target",
        &["BPF_ATOMIC stores into", "BPF_ATOMIC loads from", "BPF_XADD stores into"],
        "Atomic instructions work on the stack and on map values, not on packets, the context or objects of the kernel.",
        "Load, change and store; or keep the counter in a map.",
    ),
    rule(
        "immediate-store-target",
        &["BPF_ST stores into"],
        "On this kernel a constant is not stored into the context by one instruction.",
        "Have the value in a variable (`volatile`), so that it comes from a register.",
    ),
    rule(
        "context-released",
        &["invalid bpf_context access off=*Reference may already be released"],
        "What a context's field leads to is used only until it is released.",
        "Read the field before the release.",
    ),
    rule(
        "context-field",
        &["invalid bpf_context access"],
        "Only fields of the context that this program type has are read or written, at their place and size.",
        "Use the fields of `struct xdp_md` or `struct __sk_buff` that the program type allows; check the type (section name), and whether the field \
         may be written.",
    ),
    rule(
        "socket-field",
        &["R*invalid * access off="],
        "Only some fields of a socket are read, and few written.",
        "Use `bpf_sk_fullsock` or `bpf_tcp_sock` for more fields, and look up which ones programs may read.",
    ),
    rule(
        "kernel-object",
        &[
            "access beyond struct",
            "access beyond the end of member",
            "invalid negative access",
            "invalid variable offset",
            "access user memory",
            "access percpu memory",
        ],
        "An object of the kernel is read by its fields, at constant offsets within it.",
        "Use the structure that this kernel has (CO-RE), or `bpf_probe_read_kernel` for what its types do not show.",
    ),
    rule(
        "context-moved",
        &["dereference of modified ctx ptr", "variable ctx access", "negative offset ctx ptr"],
        "The context is accessed at constant offsets from its start.",
        "Keep the context's pointer unchanged and access its fields directly; the compiler may have joined two accesses (a `barrier()` between \
         the branches helps).",
    ),
    rule(
        "pointer-moved",
        &[
            "is a pointer to in-kernel struct with non-zero offset",
            "cannot pass in * at an offset",
            "dereference of modified",
            "variable * access var_off=*disallowed",
            "negative offset * ptr",
            "must have zero offset when passed to release",
        ],
        "An address of this kind is used as it was given, without an offset.",
        "Keep the pointer as the helper gave it, and use that one.",
    ),
    rule(
        "stack-variable",
        &[
            "variable-offset* stack",
            "variable offset stack",
            "variable stack access prohibited",
            "var-offset stack write",
            "range of var-offset write",
        ],
        "The stack is accessed at an offset that is known, or bounded within one variable; unprivileged programs, and what helpers are given, need a constant.",
        "Bound the index of the array right before the access, or keep the array in a map.",
    ),
    rule(
        "stack-argument-unwritten",
        &["invalid indirect read from stack", "invalid read from stack R* off *+"],
        "What a helper reads from the stack was written before, to the last byte.",
        "Initialise the whole key or value, its padding too (`= {}` or `__builtin_memset`).",
    ),
    rule(
        "stack-bounds",
        &[
            "invalid read from stack R*off=",
            "invalid write to stack",
            "invalid indirect access to stack",
            "stack pointer arithmetic goes out of range",
        ],
        "Accesses to the stack lie within the 512 bytes of a frame, and reads, without CAP_PERFMON, within what was written there.",
        "Use less stack (large variables go into a per-CPU array of one entry), bound the index, and check the size that a helper is given.",
    ),
    rule(
        "stack-unwritten",
        &["invalid read from stack", "reading from stack*poisoned"],
        "Bytes of the stack are read only after they were written.",
        "Initialise the whole variable on every path, its padding too (`= {}` or `__builtin_memset`).",
    ),
    rule(
        "stack-spill",
        &[
            "corrupt spilled pointer",
            "invalid size of register spill",
            "invalid size of register fill",
            "cannot spill pointers to stack into",
        ],
        "An address kept on the stack is written and read whole, 8 bytes at an aligned place.",
        "Do not overlay pointers with other data (a union, a copy in parts, a packed structure).",
    ),
    rule(
        "special-field",
        &[
            "cannot be accessed directly by load/store",
            "cannot be accessed indirectly by helper",
            "access cannot have variable offset",
            "access misaligned expected=",
            "access size must be BPF_DW",
            "kptr in map can only be accessed",
            "store to referenced kptr",
            "store to uptr",
            "BPF_ST imm must be 0 when storing to kptr",
        ],
        "A lock, a timer or a kernel pointer within a map's value is touched by its own helpers alone.",
        "Read and write the other fields one by one; do not copy the whole value.",
    ),
    rule(
        "misaligned",
        &["misaligned"],
        "An access is aligned to its size where the processor, or the kind of memory, asks for it.",
        "Align the variable, or read it by bytes (`__builtin_memcpy`, a packed structure).",
    ),
];
