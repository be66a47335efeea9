//! What is acquired and given back: references, locks, protected regions, dynptrs, iterators, objects of the program's own.

use super::{Rule, rule};

/// No message says it: the address has become a number.
pub(in crate::verifier) static USE_AFTER_RELEASE: Rule = rule(
    "use-after-release",
    &[],
    "What was released (a socket, a record of a ring buffer, an object, a dynptr) is not used any more, nor is anything that was reached through it.",
    "Do all that needs it before the call that releases it, and copy what is needed later.",
);

/// The same of a lock.
pub(in crate::verifier) static USE_AFTER_UNLOCK: Rule = rule(
    "use-after-unlock",
    &[],
    "An address of an object that is in a list or a tree is valid while the lock beside it is held.",
    "Use the object before the unlock, or take a reference of its own with `bpf_refcount_acquire`.",
);

pub(super) const RULES: &[Rule] = &[
    rule(
        "reference-unreleased",
        &["Unreleased reference", "would lead to reference leak", "Leaking reference", "cannot be mixed with socket references"],
        "What was acquired (a socket, a record of a ring buffer) is released on every path, before the program ends or jumps to another.",
        "Call the releasing helper (`bpf_ringbuf_submit`, `bpf_ringbuf_discard`, `bpf_sk_release`) before each return and tail call.",
    ),
    rule(
        "release-unacquired",
        &[
            "reference has not been acquired before",
            "must be referenced when passed to release function",
            "is an unacquired reference",
            "expects refcounted PTR_TO_BTF_ID",
            "expects referenced PTR_TO_BTF_ID",
            "cannot release unowned const bpf_dynptr",
            "CONST_PTR_TO_DYNPTR cannot be released",
        ],
        "Only what this program acquired is released, once, and with the address that it was given.",
        "Pass the acquiring helper's result itself, not a pointer read from it or a copy after the release.",
    ),
    rule(
        "lock-two",
        &["Locking two bpf_spin_locks", "AA deadlock detected"],
        "A program holds one spin lock at a time.",
        "Unlock the first before the second is taken.",
    ),
    rule(
        "lock-unmatched",
        &["_unlock without taking a lock", "_unlock of different lock", "_unlock cannot be out of order"],
        "The lock that was taken last is the one that is given back, with the same pointer to the same value.",
        "Lock and unlock by the same pointer of one lookup, on every path.",
    ),
    rule(
        "lock-held",
        &["global function calls are not allowed", "inside bpf_spin_lock-ed region", "while holding a lock", "bpf_spin_unlock is missing"],
        "While a spin lock is held there are no calls of helpers or global functions, and the program does not end.",
        "Do what needs calls before the lock or after it, and unlock before every return.",
    ),
    rule(
        "lock-program-type",
        &[
            "progs cannot use bpf_spin_lock yet",
            "progs cannot use bpf_timer yet",
            "progs cannot use bpf_wq yet",
            "progs cannot use bpf_{list_head,rb_root} yet",
        ],
        "Programs of this type take no spin locks, timers or lists of objects.",
        "Use atomics, a per-CPU map, or another program type.",
    ),
    rule(
        "field-types-missing",
        &["has to have BTF in order to use"],
        "A lock, a timer or a kernel pointer in a map's value is found by the map's types.",
        "Define the map in `.maps` with `__type(value, struct ...)`, and compile with `-g`.",
    ),
    rule(
        "field-missing",
        &[
            "kptr isn't referenced kptr",
            "doesn't point to 'struct",
            "doesn't point to map value or allocated",
            "has no valid bpf_",
            "has no valid kptr",
            "has no valid ",
            "doesn't have 'struct bpf_",
            "has more than one 'struct bpf_",
            "is not a struct type or bpf_",
            "doesn't point to 'struct bpf_",
            "doesn't point to kptr",
            "lock has to be at the constant offset",
            "has to be at the constant offset",
            "has to be at a constant offset",
        ],
        "The address given is that of the value's one field of this kind, at a constant offset.",
        "Pass `&value->lock` of a value whose structure has the field, once.",
    ),
    rule(
        "map-mismatch",
        &["doesn't match map pointer in"],
        "A timer or a work item is set up with the map that it lies in.",
        "Pass the map from which the value was looked up.",
    ),
    rule(
        "region-held",
        &[
            "inside bpf_rcu_read_lock-ed region",
            "inside bpf_preempt_disable-ed region",
            "inside bpf_local_irq_save-ed region",
            "bpf_rcu_read_unlock is missing",
            "bpf_preempt_enable* missing",
        ],
        "A region without preemption or interrupts, or one for reading under RCU, is left on every path before the program ends.",
        "Call the function that leaves it before each return, tail call and throw.",
    ),
    rule(
        "region-unmatched",
        &[
            "unmatched rcu read unlock",
            "nested rcu read lock",
            "unmatched attempt to enable preemption",
            "cannot restore irq state out of order",
            "irq flag",
        ],
        "A region is left as often as it was entered, in the opposite order, with what entering it gave.",
        "Pair each enter with one leave on every path.",
    ),
    rule(
        "sleep",
        &[
            "sleepable helper",
            "is sleepable within",
            "might sleep in a non-sleepable",
            "must be sleepable to call",
            "sleepable global function",
            "that may sleep are not allowed",
            "in a non-sleepable",
        ],
        "What may sleep is called by sleepable programs alone, outside locks and regions without preemption.",
        "Use a section that sleeps (`.s`), or a helper that does not.",
    ),
    rule(
        "rcu-protection",
        &["requires RCU critical section protection", "expected an RCU CS", "must be a rcu pointer"],
        "Some functions and pointers of the kernel are used only while reading under RCU.",
        "Put `bpf_rcu_read_lock()` and `bpf_rcu_read_unlock()` around it.",
    ),
    rule(
        "dynptr",
        &["dynptr"],
        "A dynptr lies on the stack, is set up once by its own helpers, used as the kind it is, and not written over.",
        "Give each dynptr a variable of its own, check the result of the call that sets it up, and submit or discard one of a ring buffer on every path.",
    ),
    rule(
        "iterator",
        &["initialized iter_", "iterator on stack", "expected valid iter pointer", "css_task_iter is only allowed"],
        "An iterator lies on the stack and is made, stepped and destroyed in this order, on every path.",
        "Use `bpf_for` or `bpf_for_each`, which do it.",
    ),
    rule(
        "object-ownership",
        &[
            "owning ref",
            "non-owning",
            "expected pointer to allocated object",
            "allocated object must be referenced",
            "expected for bpf_obj_drop",
            "expected for bpf_percpu_obj_drop",
            "must be held for",
            "object are not in the same allocation",
            "rbtree cb",
            "rbtree_remove",
            "bpf_refcount field",
            "not found at offset=",
            "but expected bpf_",
        ],
        "An object of the program's own is dropped or put into a list or tree by its one owner, under the lock beside the list.",
        "Hold the lock that is in the same structure as the list's head, and use the pointer that the kernel gave last.",
    ),
    rule(
        "object-type",
        &["bpf_obj_new", "bpf_percpu_obj_new", "local type ID", "max struct nesting depth"],
        "An object of the program's own is of a structure that the program's types have.",
        "Compile with `-g`, and pass `typeof(struct)` of plain fields.",
    ),
];
