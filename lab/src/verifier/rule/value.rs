//! Registers, and what a program or a function gives back.

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "result-missing",
        &["R0 !read_ok"],
        "A program sets its result before it ends, and a function's result is read only if it has one.",
        "Return a value on every path.",
    ),
    rule(
        "register-unwritten",
        &["!read_ok"],
        "A register is read only after it was written; a call leaves r1 to r5 without a value.",
        "Initialise the variable on every path; check that a function's arguments are those its prototype says, and in assembly that nothing is kept \
         in r1 to r5 over a call.",
    ),
    rule(
        "register-number",
        &["R1* is invalid"],
        "There are registers r0 to r10.",
        "The object is damaged, or for another machine; build it again.",
    ),
    rule(
        "callback-result",
        &["At callback return the register R*", "In async callback the register R*", "At async callback return the register R*"],
        "A callback returns a number that its caller knows: 0 or 1, for a timer's 0.",
        "Return 0 to go on and 1 to stop, as constants.",
    ),
    rule(
        "result-unknown",
        &["the register R* is not a known value"],
        "A program whose type allows only some results gives back one of them for sure; an address is none.",
        "Return constants, or bound the value right before the return.",
    ),
    rule(
        "result-range",
        &["the register R* has*should have been in"],
        "A program's result is one of those its type allows.",
        "Return one of the values that the program type has: 0 or 1 for most cgroup programs.",
    ),
    rule(
        "function-result",
        &["At subprogram exit the register R* is not a scalar value", "R0 not a scalar value", "R0 is not a scalar value"],
        "A global function returns a number.",
        "Return a number, or make the function `static`: then it may return an address.",
    ),
    rule(
        "stack-returned",
        &["cannot return stack pointer to the caller"],
        "A function does not return an address in its own stack.",
        "Have the caller give the address of its variable.",
    ),
    rule(
        "division-by-zero",
        &["div by zero"],
        "A division by the constant 0 is refused; by a register that is 0 it gives 0.",
        "Look for a constant that became 0.",
    ),
    rule(
        "shift-too-far",
        &["invalid shift"],
        "A constant shift is less than the register's width.",
        "Shift by at most 63, or 31 for 32 bits.",
    ),
];
