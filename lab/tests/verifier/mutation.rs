//! Random programs, mutated until the verifier rejects them: each rejection has the verifier's own last words, and most meet a rule.
//!
//! `VERIFIER_MUTATIONS` asks for more of them, `VERIFIER_SEED` for others, as does `PROPTEST_RNG_SEED`.

use std::collections::BTreeMap;

use libtest_mimic::Failed;
use treeline_lab::bpf::{Insn, Object};
use treeline_lab::exercise::program::Case;
use treeline_lab::verifier::{Refusal, verify};
use treeline_lab::vm::{MapKind, Shape};

/// Rejections looked at.
const REJECTIONS: u64 = 150;
/// Of a thousand rejections so many meet a rule, at least.
const EXPLAINED_PERMILLE: u64 = 990;

pub fn explained() -> Result<(), Failed> {
    let mut random = Random(setting("VERIFIER_SEED", setting("PROPTEST_RNG_SEED", 1)).max(1));
    let wanted = setting("VERIFIER_MUTATIONS", REJECTIONS);
    let (mut rejected, mut met) = (0, 0);
    let mut names: BTreeMap<String, u64> = BTreeMap::new();
    let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
    while rejected < wanted {
        let bytes: Vec<u8> = (0..100 + random.below(400)).map(|_| random.byte()).collect();
        // Calls of functions want types, which bare bytecode has not.
        let Some(mut case) = Case::draw(&bytes).filter(|case| case.functions.len() == 1) else { continue };
        for _ in 0..=random.below(3) {
            mutate(&mut case.instructions, &mut random);
        }
        let Some(refusal) = refusal(&case)? else { continue };
        rejected += 1;
        if refusal.message.is_empty() && refusal.errno != libc::E2BIG {
            return Err(format!("errno {} without a word of the verifier's:\n{}", refusal.errno, case.listing()).into());
        }
        met += u64::from(refusal.name.is_some());
        match refusal.name {
            Some(name) => *names.entry(name).or_default() += 1,
            None => *unknown.entry(refusal.message).or_default() += 1,
        }
    }
    println!("{rejected} rejected programs, {met} meet one of {} rules", names.len());
    let mut frequent: Vec<_> = names.into_iter().collect();
    frequent.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    println!("{}", frequent.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", "));
    if met * 1000 >= rejected * EXPLAINED_PERMILLE { Ok(()) } else { Err(format!("no rule: {unknown:#?}").into()) }
}

fn refusal(case: &Case) -> Result<Option<Refusal>, Failed> {
    let shape =
        |name: &str, kind, value_size, max_entries| Shape { name: name.to_owned(), kind, key_size: 4, value_size, max_entries, flags: 0 };
    // As the generator has them, in the order in which instructions name them.
    let maps = [shape("cell", MapKind::Array, 144, 1), shape("array", MapKind::Array, 16, 8), shape("hash", MapKind::Hash, 16, 8)];
    let object = Object::from_bytecode("test", case.hook, &case.bytecode(), &maps)?;
    // Numbers of no map are never loaded.
    let positions = object.program("test")?.map_slots();
    let is_map = |slot: &usize| usize::try_from(object.programs()[0].instructions[*slot].imm).is_ok_and(|map| map < maps.len());
    if !positions.iter().all(is_map) {
        return Ok(None);
    }
    Ok(verify(&object, object.program("test")?, false)?.refusal)
}

/// Changes, doubles, drops or swaps one instruction.
fn mutate(instructions: &mut Vec<Insn>, random: &mut Random) {
    let place = random.below(instructions.len() as u64 - 1);
    let insn = &mut instructions[place];
    if insn.opc == 0x18 && random.below(4) > 0 {
        return;
    }
    // Loads, stores, and what computes or compares with a register: elsewhere the field is reserved, which ends it too soon.
    let has_source = matches!(insn.opc & 7, 1 | 3) || matches!(insn.opc & 7, 4..=7) && insn.opc & 8 != 0;
    match random.below(10) {
        0 => insn.dst = random.byte() % 11,
        1 if has_source => insn.src = random.byte() % 11,
        2 if insn.off == 0 => {}
        2 => insn.off = insn.off.wrapping_add(i16::from(random.byte()) - 128),
        3 => insn.imm = insn.imm.wrapping_add(i32::from(random.byte()) - 128),
        4 => insn.imm = [0, -1, i32::MAX, i32::MIN][random.below(4)],
        5 if random.below(8) == 0 => insn.opc = random.byte(),
        5 => insn.opc ^= 0x10,
        6 if has_source => (insn.dst, insn.src) = (insn.src, insn.dst),
        7 => drop(instructions.remove(place)),
        8 => instructions.insert(place, instructions[place].clone()),
        9 => instructions.swap(place, place + 1),
        _ => {}
    }
}

/// The same in every run: xorshift64*.
struct Random(u64);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
    }

    fn below(&mut self, bound: u64) -> usize {
        let number = u64::from(self.byte()) << 8 | u64::from(self.byte());
        usize::try_from(number % bound.max(1)).expect("small")
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}
