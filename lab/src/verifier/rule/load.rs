//! What is checked around the program: types, maps, attaching, and errors without a word.

use super::{Rule, rule};

/// Tried before all others: the words beside these may be those of any rule.
pub(super) const BUGS: &[Rule] = &[rule(
    "kernel-bug",
    &[
        "REG INVARIANTS VIOLATION",
        "verifier bug",
        "verifier internal error",
        "verifier is misconfigured",
        "misconfigured func",
        "narrow ctx",
        "internal bug",
        "backtracking bug",
    ],
    "The verifier itself found that it went wrong.",
    "It is a bug of the kernel's: try a newer one, and report the program to bpf@vger.kernel.org.",
)];

pub(super) const RULES: &[Rule] = &[
    rule(
        "function-types",
        &[
            "invalid func info rec size",
            "missing btf func_info",
            "number of funcs in func_info",
            "func_info BTF section doesn't match",
            "Global functions need valid BTF",
            "doesn't point to KIND_FUNC",
            "invalid btf id for main subprog",
            "Invalid func linkage",
            "invalid type id * in func info",
            "nonzero tailing record in func info",
        ],
        "Each function of a program has its type where one has, at its first instruction.",
        "Compile all of it with `-g`, and link with `bpftool gen object`; assembly functions need types too.",
    ),
    rule(
        "line-info",
        &["line_info"],
        "The table of source lines is in order, and each function's first instruction is in it.",
        "Build again with one compiler; `llvm-strip -g` keeps what the kernel needs.",
    ),
    rule(
        "attach-target",
        &[
            "attach_btf_id",
            "Tracing program",
            "FENTRY/FEXIT program",
            "Only FENTRY",
            "Cannot replace",
            "Cannot extend",
            "Cannot recursively attach",
            "Cannot nest tracing",
            "Can attach to only JITed",
            "Extension program",
            "Program extension",
            "Attach to function",
            "Attaching ",
            "is not modifiable",
            "can't modify return codes",
            "Target program",
            "The address of function * cannot be found",
            "Subprog * doesn't exist",
            "invalid member",
            "unsupported member",
            "struct_ops module",
            "is not sleepable",
            "LSM_CGROUP",
        ],
        "A tracing or extension program names a function of the kernel, or of another program, that may be attached to.",
        "Check the name after the `/` of the section, and that this kernel has it (`bpftool btf dump file /sys/kernel/btf/vmlinux`).",
    ),
    rule(
        "sleepable-type",
        &["can be sleepable", "cannot be sleepable", "can only be sleepable"],
        "Only some program types may sleep.",
        "Take the `.s` from the section's name.",
    ),
    rule(
        "map-program-type",
        &[
            "can only use preallocated hash map",
            "run-time allocat",
            "Sleepable programs can only use",
            "bpf_struct_ops map cannot be used",
            "only one cgroup storage",
            "offload device mismatch",
            "cannot update sockmap in this context",
            "excl_prog_hash",
        ],
        "Not every kind of map is for every program type.",
        "Create hash maps without BPF_F_NO_PREALLOC for tracing, and for sleepable programs arrays, hashes and ring buffers.",
    ),
    rule(
        "map-count",
        &["number of maps per program has reached", "Only one arena per program"],
        "A program uses no more than 64 maps.",
        "Put several values into one map, or split the program.",
    ),
    rule(
        "map-descriptor",
        &["is not pointing to valid bpf_map", "fd_array", "fd_idx"],
        "An instruction that names a map holds the descriptor of an open one.",
        "The object's relocations were not applied: load it with libbpf, aya or this command.",
    ),
    rule(
        "map-value-address",
        &["invalid access to map value pointer", "direct value offset of", "no direct value access support"],
        "The address of a value that stands in the program lies within the first value of an array.",
        "Check the variable that the instruction names; other maps want a lookup.",
    ),
    rule(
        "kernel-symbol",
        &[
            "pseudo btf_id",
            "ldimm64 failed to find",
            "ldimm64 insn specifies",
            "ldimm64 unable",
            "pseudo_btf_id ldimm64",
            "kernel is missing BTF",
            "in-kernel BTF is malformed",
            "module BTF",
        ],
        "A variable or a type of the kernel that a program names is in the kernel's types.",
        "Check the kernel's version and that it was built with CONFIG_DEBUG_INFO_BTF; declare it `__weak` and test for it.",
    ),
    rule(
        "signature",
        &["signed program", "signature verification failed", "signing keyring", "signed payload"],
        "A signed program loads as it was signed, with the maps that the signature covers.",
        "Sign again after each build.",
    ),
    rule(
        "arena",
        &["arena", "addr_space_cast"],
        "Memory of an arena is used by programs that have exactly one, through addresses cast into it, where the compiler of the kernel supports it.",
        "Name the arena in the program, and compile with a clang that knows address spaces (19 or later).",
    ),
    rule(
        "compiler-needed",
        &[
            "JIT is required",
            "not allowed in non-JITed",
            "JIT doesn't support",
            "JIT does not support",
            "not supported by jit",
            "requires BPF JIT compiler",
            "not supported in non-JITed",
        ],
        "What this program uses needs the kernel's compiler, and one that can do it.",
        "`sysctl net.core.bpf_jit_enable=1`; on this machine's processor it may be missing.",
    ),
];

/// Errors of the system call that came without a log.
pub(super) const SILENT: &[(i32, Rule)] = &[
    (
        libc::E2BIG,
        rule(
            "too-long",
            &[],
            "A program has at least one instruction and no more than a million; 4096 without CAP_BPF.",
            "Split the program by tail calls, or have loops in place of unrolled code.",
        ),
    ),
    (
        libc::EINVAL,
        rule(
            "arguments",
            &[],
            "The kernel knows the program type, where it attaches and its flags.",
            "Check the section's name: this kernel may be older than the program type or the place to attach.",
        ),
    ),
    (
        libc::EPERM,
        rule("right", &[], "Loading wants rights.", "Load as root, or with CAP_BPF and CAP_NET_ADMIN, and CAP_PERFMON for tracing."),
    ),
    (
        libc::ENOMEM,
        rule("memory", &[], "The kernel has memory for the program.", "Raise RLIMIT_MEMLOCK (kernels before 5.11), or free memory."),
    ),
];
