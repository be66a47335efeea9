//! Random programs in the VM and in the kernel, the same without one of their stores to the stack, and the canary: a VM that runs one opcode wrongly is found out.
//!
//! The programs come from a generator of bytes with a fixed start, so every run checks the same; `CONFORMANCE_CASES` asks for more of them,
//! `CONFORMANCE_SEED` for others, as does `PROPTEST_RNG_SEED`, which other random tests honour too. Where programs may not be loaded the trials are reported as ignored; where the environment has `CI` that is
//! a failure.

use std::fmt::Display;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use treeline_lab::exercise::program::{Case, Kernel, Outcome, Verdict, compare, reduced, unwritten};
use treeline_lab::kernel::KernelError;
use treeline_lab::vm::Options;

/// Programs compared.
const CASES: u64 = 1000;
/// A VM with one wrong opcode is found out within so many programs.
const CANARY_CASES: u64 = 400;

/// What lowered programs run, and what a broken VM would run instead.
const MUTATIONS: [(u8, u8, &str); 26] = [
    (0x0f, 0x1f, "add64 subtracts"),
    (0x04, 0x07, "add32 of an immediate keeps the upper half"),
    (0x0c, 0x0f, "add32 keeps the upper half"),
    (0x1c, 0x1f, "sub32 keeps the upper half"),
    (0x2f, 0x2c, "mul64 is mul32"),
    (0x3f, 0x3c, "div64 is div32"),
    (0x9c, 0x9f, "mod32 is mod64"),
    (0x4f, 0xaf, "or64 is xor64"),
    (0x5f, 0x4f, "and64 is or64"),
    (0xa7, 0x47, "xor64 of an immediate is or64"),
    (0xaf, 0x4f, "xor64 is or64"),
    (0x6f, 0x6c, "lsh64 is lsh32"),
    (0x77, 0xc7, "rsh64 of an immediate keeps the sign"),
    (0x7f, 0xcf, "rsh64 keeps the sign"),
    (0xcc, 0x7c, "arsh32 loses the sign"),
    (0xbc, 0xbf, "mov32 keeps the upper half"),
    (0xb4, 0xb7, "mov32 of an immediate extends its sign"),
    (0xdc, 0xd4, "be is le"),
    (0x2d, 0x3d, "jgt is jge"),
    (0xa5, 0xb5, "jlt of an immediate is jle"),
    (0x6e, 0x2e, "jsgt32 is jgt32"),
    (0x46, 0x56, "jset32 of an immediate is jne32"),
    (0xc5, 0xa5, "jslt of an immediate is jlt"),
    (0x69, 0x71, "a load of two bytes loads one"),
    (0x63, 0x6b, "a store of four bytes stores two"),
    (0x7a, 0x62, "a store of an immediate of eight bytes stores four"),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = Kernel::new().err();
    let trials = [
        Trial::test("random_programs_do_in_the_vm_what_they_do_in_the_kernel", agreement),
        Trial::test("what_a_program_leaves_unwritten_on_its_stack_it_does_not_get_to_see", stack),
        Trial::test("a_vm_with_one_wrong_opcode_is_found_out", canary),
    ];
    let is_ignored = missing.is_some() && std::env::var_os("CI").is_none();
    if let Some(error) = &missing {
        println!("the kernel's trials are ignored: no right to load programs (CAP_BPF, CAP_NET_ADMIN): {error}");
    }
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(is_ignored)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Bytes of cases, the same in every run: xorshift64*.
struct Bytes(u64);

impl Bytes {
    fn case(&mut self, number: u64) -> Vec<u8> {
        (0..100 + number % 400).map(|_| self.byte()).collect()
    }

    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
    }
}

fn options() -> Options {
    Options { instructions_max: 1 << 24, ..Options::default() }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Where the bytes of cases start. A generator that begins at zero stays there.
fn seed() -> u64 {
    setting("CONFORMANCE_SEED", setting("PROPTEST_RNG_SEED", 1)).max(1)
}

/// How to see a finding again.
fn again(finding: &impl Display) -> Failed {
    let cases = setting("CONFORMANCE_CASES", CASES);
    let command = format!("CONFORMANCE_SEED={} CONFORMANCE_CASES={cases} cargo test -p treeline-lab --test conformance", seed());
    format!(
        "{finding}
to repeat: {command}"
    )
    .into()
}

fn agreement() -> Result<(), Failed> {
    let kernel = Kernel::new()?;
    let (mut bytes, cases) = (Bytes(seed()), setting("CONFORMANCE_CASES", CASES));
    let (mut rejected, mut runs) = (0, 0);
    let mut said = String::new();
    for number in 0..cases {
        let Some(case) = Case::draw(&bytes.case(number)) else { continue };
        // A traced program does the same.
        let options = Options { trace: number % 4 == 3, ..options() };
        match compare(&case, &kernel, &options) {
            Ok(Verdict::Rejected) => {
                rejected += 1;
                said = case.in_kernel(&kernel).err().map_or(said, |error| log(&error));
            }
            Ok(_) => runs += case.packets.len(),
            Err(finding) => {
                let small = compare(&reduced(case, &kernel, &options), &kernel, &options).err().unwrap_or(finding);
                return Err(again(&format!("case {number}: {small}")));
            }
        }
    }
    println!("seed {}: {cases} programs, {rejected} rejected by the verifier, {runs} runs compared", seed());
    if rejected * 50 > cases {
        let last: Vec<&str> = said.lines().rev().take(20).collect();
        return Err(
            format!("{rejected} of {cases} programs are rejected, at most 2% may be; the last of them:\n{}", last.join("\n")).into()
        );
    }
    Ok(())
}

/// What the verifier said.
fn log(error: &KernelError) -> String {
    match error {
        KernelError::Rejected { rejection, .. } => rejection.log.clone(),
        error => error.to_string(),
    }
}

/// Programs that lack a store to the stack: there are enough that read what it would have written.
fn stack() -> Result<(), Failed> {
    let mut bytes = Bytes(seed());
    let (mut found, mut programs) = (0, 0);
    for number in 0..setting("CONFORMANCE_CASES", CASES).div_ceil(4) {
        let Some(case) = Case::draw(&bytes.case(number)) else { continue };
        let options = Options { instructions_max: 100_000, trace: number % 4 == 3, ..options() };
        found += unwritten(&case, &options).map_err(|finding| again(&format!("case {number}: {finding}")))?;
        programs += 1;
    }
    println!("{programs} programs without one store or another, {found} of them end at what it would have written");
    if found * 4 < programs { Err("too few read what was never written for this to say anything".into()) } else { Ok(()) }
}

/// Every mutation must show in a program that both run alike without it.
fn canary() -> Result<(), Failed> {
    let kernel = Kernel::new()?;
    let mut bytes = Bytes(1);
    let mut cases: Vec<(Case, Vec<Outcome>)> = Vec::new();
    for number in 0..CANARY_CASES {
        let Some(case) = Case::draw(&bytes.case(number)) else { continue };
        if let Ok(outcomes) = case.in_kernel(&kernel) {
            cases.push((case, outcomes));
        }
    }
    let mut missed = Vec::new();
    let mut latest = 0;
    for (right, wrong, what) in MUTATIONS {
        let broken = Options { mutation: Some((right, wrong)), ..options() };
        let differs = |(case, expected): &(Case, Vec<Outcome>)| !case.in_vm(&broken).is_ok_and(|found| found == *expected);
        match cases.iter().position(differs) {
            Some(position) => latest = latest.max(position + 1),
            None => missed.push(what),
        }
    }
    println!("{} mutations, each found within {latest} programs", MUTATIONS.len());
    if missed.is_empty() { Ok(()) } else { Err(format!("not found within {} programs: {}", cases.len(), missed.join("; ")).into()) }
}
