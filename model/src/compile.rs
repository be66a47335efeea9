//! Checked nodes -> BPF instructions: a compare and a branch for each question, an exit for each class.
//!
//! What the code looks like, so that a packet executes few instructions and the verifier has little to follow:
//! - r1 points to the features; a feature is loaded once on each path and stays in one of four registers until others push it out;
//! - a threshold in 32 bits is an immediate of the compare, any other is loaded into r0 first;
//! - `if feature > threshold` jumps to the right child and the left one follows; where the left one is a leaf it is the other way round;
//! - a leaf that is jumped to shares the next exit of its class, and nodes below which all leaves have one class are one leaf;
//! - no stack, no register that a caller wants back, no instruction newer than cpu v2, no backward jump.
//!
//! A jump reaches 32,767 instructions. [`NODES_MAX`] nodes are 4,095 questions of at most four instructions and 4,096 leaves of at most two:
//! no jump is too far.
//!
//! Not here: the ELF file around the code ([`crate::link`]).

use std::collections::BTreeMap;

use treeline_ebpf::tree::NODES_MAX;

use crate::{Error, Model, Node};

const _: () = assert!(NODES_MAX / 2 * 4 + NODES_MAX / 2 * 2 <= i16::MAX as usize);

/// Registers that hold features.
const CACHE: [u8; 4] = [2, 3, 4, 5];
const FEATURES: u8 = 1;
const RESULT: u8 = 0;

/// `dst = *(u64 *)(src + off)`.
const LOAD: u8 = 0x79;
/// `dst = imm`, the upper half cleared.
const MOVE_32: u8 = 0xb4;
/// `dst = imm` of 64 bits, two slots.
const MOVE_64: u8 = 0x18;
/// `if dst > imm`, signed; with [`REGISTER`] `if dst > src`.
const ABOVE: u8 = 0x65;
/// `if dst <= imm`, signed; with [`REGISTER`] `if dst <= src`.
const UP_TO: u8 = 0xd5;
const REGISTER: u8 = 0x08;
const JUMP: u8 = 0x05;
const EXIT: u8 = 0x95;

/// A tree as BPF instructions: a function that takes the address of the feature vector in r1 and returns the class in r0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    instructions: Vec<Instruction>,
}

impl Code {
    /// How many instructions there are; a 64-bit immediate counts twice, as the kernel counts.
    #[must_use]
    pub fn instructions_count(&self) -> usize {
        self.instructions.len()
    }

    /// The instructions as RFC 9669 encodes them, little-endian, eight bytes each.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.instructions.iter().copied().flat_map(Instruction::bytes).collect()
    }

    /// The code as part of a program, in place of the call at instruction `site`: the jump that takes the call's place, and the code at
    /// instruction `start`, behind the program, whose exits jump back. `None` if a jump does not reach that far.
    pub(crate) fn inlined(&self, site: usize, start: usize) -> Option<([u8; 8], Vec<u8>)> {
        let jump = |from: usize, to: usize| {
            let distance = i64::try_from(to).ok()? - i64::try_from(from).ok()? - 1;
            Some(Instruction { offset: i16::try_from(distance).ok()?, ..Instruction::of(JUMP, 0, 0) })
        };
        let placed = self.instructions.iter().enumerate().map(|(index, instruction)| match instruction.operation {
            EXIT => jump(start + index, site + 1),
            _ => Some(*instruction),
        });
        let placed: Vec<_> = placed.collect::<Option<_>>()?;
        Some((jump(site, start)?.bytes(), placed.into_iter().flat_map(Instruction::bytes).collect()))
    }
}

/// Compiles the nodes that the classifier walks ([`Model::walked_nodes`]). The same model always gives the same code; a vote is an error.
pub fn compile(model: &Model) -> Result<Code, Error> {
    let nodes = model.walked_nodes()?;
    let mut compiler = Compiler { nodes: &nodes, classes: classes(&nodes), instructions: Vec::new(), waiting: BTreeMap::new() };
    compiler.node(0, Cache::default());
    while let Some((&class, _)) = compiler.waiting.first_key_value() {
        compiler.leaf(class);
    }
    Ok(Code { instructions: compiler.instructions })
}

/// For each node the class of all leaves below it, if they have but one.
fn classes(nodes: &[Node]) -> Vec<Option<u16>> {
    fn fill(nodes: &[Node], index: u16, classes: &mut [Option<u16>]) -> Option<u16> {
        let class = match nodes[usize::from(index)] {
            Node::Leaf { class } => Some(class),
            Node::Inner { left, right, .. } => {
                let (left, right) = (fill(nodes, left, classes), fill(nodes, right, classes));
                left.filter(|_| left == right)
            }
        };
        classes[usize::from(index)] = class;
        class
    }
    let mut classes = vec![None; nodes.len()];
    fill(nodes, 0, &mut classes);
    classes
}

/// As deep as the tree, so its recursion ends within `DEPTH_MAX`.
struct Compiler<'a> {
    nodes: &'a [Node],
    classes: Vec<Option<u16>>,
    instructions: Vec<Instruction>,
    /// By class, the jumps that wait for its next exit.
    waiting: BTreeMap<u16, Vec<usize>>,
}

impl Compiler<'_> {
    fn node(&mut self, index: u16, mut cache: Cache) {
        let (feature, threshold, left, right) = match (self.classes[usize::from(index)], self.nodes[usize::from(index)]) {
            (None, Node::Inner { feature, threshold, left, right }) => (feature, threshold, left, right),
            (Some(class), _) | (None, Node::Leaf { class }) => return self.leaf(class),
        };
        let (register, is_loaded) = cache.find(feature);
        if !is_loaded {
            let offset = i16::try_from(8 * feature).expect("a slot's number is below 16");
            self.push(Instruction { source: FEATURES, offset, ..Instruction::of(LOAD, register, 0) });
        }
        match (self.classes[usize::from(left)], self.classes[usize::from(right)]) {
            (Some(class), _) => {
                let branch = self.branch(UP_TO, register, threshold);
                self.waiting.entry(class).or_default().push(branch);
                self.node(right, cache);
            }
            (None, Some(class)) => {
                let branch = self.branch(ABOVE, register, threshold);
                self.waiting.entry(class).or_default().push(branch);
                self.node(left, cache);
            }
            (None, None) => {
                let branch = self.branch(ABOVE, register, threshold);
                self.node(left, cache);
                self.land(branch);
                self.node(right, cache);
            }
        }
    }

    /// The exit of a class, for all that wait for it.
    fn leaf(&mut self, class: u16) {
        for branch in self.waiting.remove(&class).unwrap_or_default() {
            self.land(branch);
        }
        self.push(Instruction::of(MOVE_32, RESULT, class.into()));
        self.push(Instruction::of(EXIT, 0, 0));
    }

    /// A branch that compares `register` with `threshold` and leads nowhere yet.
    fn branch(&mut self, operation: u8, register: u8, threshold: i64) -> usize {
        if let Ok(immediate) = i32::try_from(threshold) {
            return self.push(Instruction::of(operation, register, immediate));
        }
        let (low, high) = halves(threshold);
        if high == 0 {
            self.push(Instruction::of(MOVE_32, RESULT, low));
        } else {
            self.push(Instruction::of(MOVE_64, RESULT, low));
            self.push(Instruction::of(0, 0, high));
        }
        self.push(Instruction { source: RESULT, ..Instruction::of(operation | REGISTER, register, 0) })
    }

    /// Leads `branch` to the next instruction.
    fn land(&mut self, branch: usize) {
        let distance = self.instructions.len() - branch - 1;
        self.instructions[branch].offset = i16::try_from(distance).expect("the module's text: no jump is too far");
    }

    fn push(&mut self, instruction: Instruction) -> usize {
        self.instructions.push(instruction);
        self.instructions.len() - 1
    }
}

/// The low and the high word of a threshold.
#[expect(clippy::cast_possible_truncation, reason = "in two pieces")]
const fn halves(threshold: i64) -> (i32, i32) {
    (threshold as i32, (threshold >> 32) as i32)
}

/// Which feature each register of [`CACHE`] holds, the least recently used first.
#[derive(Debug, Clone, Copy)]
struct Cache([(u8, Option<u16>); CACHE.len()]);

impl Default for Cache {
    fn default() -> Self {
        Self(CACHE.map(|register| (register, None)))
    }
}

impl Cache {
    /// The register that holds the feature from now on, and whether it did before.
    fn find(&mut self, feature: u16) -> (u8, bool) {
        let held = self.0.iter().position(|(_, held)| *held == Some(feature));
        self.0[held.unwrap_or(0)..].rotate_left(1);
        let newest = &mut self.0[CACHE.len() - 1];
        newest.1 = Some(feature);
        (newest.0, held.is_some())
    }
}

/// One slot of eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    operation: u8,
    destination: u8,
    source: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    fn of(operation: u8, destination: u8, immediate: i32) -> Self {
        Self { operation, destination, source: 0, offset: 0, immediate }
    }

    fn bytes(self) -> [u8; 8] {
        let [offset_low, offset_high] = self.offset.to_le_bytes();
        let [a, b, c, d] = self.immediate.to_le_bytes();
        [self.operation, self.source << 4 | self.destination, offset_low, offset_high, a, b, c, d]
    }
}
