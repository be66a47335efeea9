//! How long the VM takes for one run, in nanoseconds. `cargo run --release -p treeline-lab --example vm_speed`
//!
//! Two programs: the flow counter of the tests, and 600 instructions with 100 accesses to a looked-up value, to the packet and
//! to the stack, about what a classifier of flows executes.

use rbpf::assembler::assemble;
use std::hint::black_box;
use std::time::Instant;
use treeline_lab::bpf::ReadOptions;
use treeline_lab::vm::{ANY, Hook, MapKind, Object, Shape, Vm, VmError};

fn main() -> Result<(), VmError> {
    let object = Object::parse(include_bytes!("../tests/objects/flows.bpf.o"), &ReadOptions::default())?;
    let mut frame = [0_u8; 128];
    (frame[12], frame[23], frame[26], frame[30]) = (8, 17, 1, 2);
    measure("xdp_flows, one flow", &mut Vm::load(&object, "xdp_flows")?, &frame)?;

    let shapes = [
        Shape { name: "FLOWS".to_owned(), kind: MapKind::LruHash, key_size: 16, value_size: 256, max_entries: 65_536, flags: 0 },
        Shape { name: "CONFIG".to_owned(), kind: MapKind::Array, key_size: 4, value_size: 64, max_entries: 1, flags: 0 },
        Shape { name: "STATS".to_owned(), kind: MapKind::PerCpuArray, key_size: 4, value_size: 64, max_entries: 1, flags: 0 },
    ];
    let object = Object::from_bytecode("synthetic", Hook::Xdp, &synthetic(), &shapes)?;
    let mut vm = Vm::load(&object, "synthetic")?;
    vm.map_mut("FLOWS").expect("it is there").update(&[0; 16], &[0; 256], ANY)?;
    measure("600 instructions, 100 accesses", &mut vm, &frame)
}

fn measure(what: &str, vm: &mut Vm, frame: &[u8]) -> Result<(), VmError> {
    let best_ns = (0..7).map(|_| batch(vm, frame)).collect::<Result<Vec<_>, _>>()?.into_iter().min().unwrap_or(0);
    let (original, lowered) = vm.instructions_count();
    println!("{what}: {best_ns} ns/run ({original} instructions in the program, {lowered} lowered)");
    Ok(())
}

/// The mean of many runs, nanoseconds.
fn batch(vm: &mut Vm, frame: &[u8]) -> Result<u128, VmError> {
    const RUNS_COUNT: u32 = 100_000;
    let start = Instant::now();
    for now_ns in 0..RUNS_COUNT {
        black_box(vm.run(black_box(frame), u64::from(now_ns))?);
    }
    Ok(start.elapsed().as_nanos() / u128::from(RUNS_COUNT))
}

fn synthetic() -> Vec<u8> {
    let asm = |source: &str| assemble(source).expect("it is BPF");
    let map = |number: u8| [vec![0x18, 0x11, 0, 0, number, 0, 0, 0], vec![0; 8]].concat();
    let mut code = asm("ldxw r7, [r1+0]\nldxw r8, [r1+4]\nstdw [r10-16], 0\nstdw [r10-8], 0\nmov r2, r10\nadd r2, -16");
    code.extend(map(0));
    code.extend(asm("call 1\njne r0, 0, 1\nexit\nmov r6, r0"));
    for turn in 0..30 {
        let (field, byte) = (turn * 8, turn * 2);
        code.extend(asm(&format!(
            "ldxdw r1, [r6+{field}]\nldxh r2, [r7+{byte}]\nadd r1, r2\nstxdw [r6+{field}], r1\nmov r3, r1\nrsh r3, 3"
        )));
        code.extend(asm("mov r4, r3\nmul r4, r2\nxor r4, r1\nand r4, 0xffff\njgt r4, 0x10000, 3\nadd r4, 1\nmov r5, r4\nor r5, r2\nsub r5, r1\nadd r3, r5"));
        code.extend(asm("lsh r3, 1\nadd r5, r3\nmov r1, r5"));
    }
    code.extend(asm("stxdw [r10-24], r1\nldxdw r1, [r10-24]\nmov r0, 2\nexit"));
    code
}
