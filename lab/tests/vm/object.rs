//! A real object, built by clang: the VM against the kernel by aya, packet by packet, result and whole table.

use crate::kernel::pin_to_one_cpu;
use crate::trial;
use aya::maps::{HashMap, PerCpuArray};
use aya::programs::{SchedClassifier, TestRun, TestRunOptions, Xdp};
use treeline_lab::bpf::ObjectError;
use treeline_lab::bpf::ReadOptions;
use treeline_lab::kernel::Features;
use treeline_lab::vm::{Hook, Object, Vm, VmError};

const ELF: &[u8] = include_bytes!("../objects/flows.bpf.o");

/// An IPv4 frame of `length` bytes between two hosts.
fn frame(source: u8, target: u8, port: u8, length: usize) -> Vec<u8> {
    let mut frame = vec![0; length];
    frame[12] = 8;
    frame[23] = 17;
    frame[26] = source;
    frame[30] = target;
    frame[35] = port;
    frame[37] = 53;
    frame
}

fn packets() -> Vec<Vec<u8>> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let byte = |number: u64| u8::try_from(number % 6).expect("below 6");
    let mut packets: Vec<Vec<u8>> = (0..500)
        .map(|_| frame(byte(random()), byte(random()), byte(random()), 38 + usize::try_from(random() % 900).expect("small")))
        .collect();
    packets[7][12] = 9;
    packets[8].truncate(20);
    packets
}

#[test]
fn the_object_names_its_programs_and_maps() {
    let object = Object::parse(ELF, &ReadOptions::default()).expect("parses");
    let programs: Vec<_> = object.programs().iter().map(|program| (program.name.as_str(), program.hook)).collect();
    let expected = [("socket_count", Some(Hook::Socket)), ("tc_count", Some(Hook::Tc)), ("xdp_flows", Some(Hook::Xdp))];
    assert_eq!(programs, expected);
    let maps: Vec<_> = object.maps().iter().map(|shape| (shape.name.as_str(), shape.value_size)).collect();
    assert_eq!(maps, [(".bss", 8), (".rodata", 72), ("FLOWS", 120), ("STATS", 8), ("TOTAL", 8)]);
    assert!(matches!(Vm::load(&object, "xdp_flaws").err(), Some(VmError::Object(ObjectError::NoProgram { .. }))));
    let options = ReadOptions { map_max_entries: [("FLAWS".to_owned(), 1)].into(), ..ReadOptions::default() };
    assert!(matches!(Object::parse(ELF, &options).err(), Some(ObjectError::Unknown { .. })));
    assert!(matches!(Object::parse(&ELF[..100], &ReadOptions::default()).err(), Some(ObjectError::Unreadable { .. })));
}

#[test]
fn constants_are_set_at_load() {
    let options = ReadOptions { globals: [("PACKETS_MAX".to_owned(), vec![2, 0, 0, 0])].into(), ..ReadOptions::default() };
    let mut vm = Vm::load(&Object::parse(ELF, &options).expect("parses"), "xdp_flows").expect("loads");
    let verdicts = [0, 1, 2].map(|now| vm.run(&frame(1, 2, 3, 60), now).expect("runs"));
    assert_eq!(verdicts, [2, 2, 1]);
    let options = ReadOptions { globals: [("PACKETS_MIN".to_owned(), vec![2])].into(), ..ReadOptions::default() };
    assert!(matches!(Object::parse(ELF, &options).err(), Some(ObjectError::Unknown { .. })));
    let options = ReadOptions { globals: [("PACKETS_MAX".to_owned(), vec![2])].into(), ..ReadOptions::default() };
    assert!(matches!(Object::parse(ELF, &options).err(), Some(ObjectError::ValueSize { .. })));
}

#[test]
fn the_clock_is_an_argument() {
    let mut vm = Vm::load(&Object::parse(ELF, &ReadOptions::default()).expect("parses"), "xdp_flows").expect("loads");
    for now in [1000, 1500, 5000] {
        vm.run(&frame(1, 2, 3, 60), now).expect("runs");
    }
    let (_, flow) = vm.map("FLOWS").expect("the table").entries().next().expect("one flow");
    let words: Vec<u64> = flow.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight"))).collect();
    assert_eq!(words[..6], [1000, 5000, 3, 180, 4000, 3500]);
}

#[test]
fn the_object_runs_as_in_the_kernel() {
    let mut vm = Vm::load(&Object::parse(ELF, &ReadOptions::default()).expect("parses"), "xdp_flows").expect("loads");
    let packets = packets();
    let verdicts: Vec<u64> = packets.iter().map(|packet| vm.run(packet, 0).expect("runs")).collect();

    let mut kernel = match aya::Ebpf::load(ELF) {
        Ok(kernel) => kernel,
        Err(error) => return skip(&error),
    };
    pin_to_one_cpu();
    let program: &mut Xdp = kernel.program_mut("xdp_flows").expect("there").try_into().expect("XDP");
    if let Err(error) = program.load() {
        return skip(&error);
    }
    for (index, (packet, verdict)) in packets.iter().zip(&verdicts).enumerate() {
        let result = program.test_run(TestRunOptions { data_in: Some(packet), repeat: 1, ..TestRunOptions::default() }).expect("runs");
        assert_eq!(u64::from(result.return_value), *verdict, "packet {index}");
    }
    let flows: HashMap<_, [u8; 16], [u8; 120]> = HashMap::try_from(kernel.map("FLOWS").expect("there")).expect("a hash");
    // Times are the kernel's own there: compare all but first, last, gaps.
    let timeless = |flow: &[u8]| [&flow[16..32], &flow[48..]].concat();
    let mut theirs: Vec<_> =
        flows.iter().map(|entry| entry.expect("an entry")).map(|(key, flow)| (key.to_vec(), timeless(&flow))).collect();
    let mut ours: Vec<_> = vm.map("FLOWS").expect("there").entries().map(|(key, flow)| (key, timeless(flow))).collect();
    theirs.sort();
    ours.sort();
    assert_eq!(ours.len(), theirs.len());
    assert_eq!(ours, theirs);
    let stats: PerCpuArray<_, u64> = PerCpuArray::try_from(kernel.map("STATS").expect("there")).expect("an array");
    for (entry, value) in vm.map("STATS").expect("there").entries() {
        let entry = u32::from_le_bytes(entry.try_into().expect("four"));
        let theirs: u64 = stats.get(&entry, 0).expect("there").iter().sum();
        // The program adds a thousand for each number of its CPU, which is 0 in the VM and here.
        assert_eq!(u64::from_le_bytes(value.try_into().expect("eight")), theirs, "counter {entry}");
    }
}

#[test]
fn tc_runs_as_in_the_kernel() {
    let mut vm = Vm::load(&Object::parse(ELF, &ReadOptions::default()).expect("parses"), "tc_count").expect("loads");
    let lengths = [14, 33, 34, 35, 100];
    let verdicts = lengths.map(|length| vm.run(&packets()[0][..length], 0).expect("runs"));
    assert_eq!(verdicts, [2, 2, 17, 17, 17]);
    let mut kernel = match aya::Ebpf::load(ELF) {
        Ok(kernel) => kernel,
        Err(error) => return skip(&error),
    };
    let program: &mut SchedClassifier = kernel.program_mut("tc_count").expect("there").try_into().expect("TC");
    if let Err(error) = program.load() {
        return skip(&error);
    }
    for (length, verdict) in lengths.iter().zip(verdicts) {
        let packet = &packets()[0][..*length];
        let result = program.test_run(TestRunOptions { data_in: Some(packet), repeat: 1, ..TestRunOptions::default() });
        // The kernel makes no skb of a frame without a network header's first bytes.
        let Ok(result) = result else {
            assert!(*length < 34, "{length} bytes");
            continue;
        };
        assert_eq!(u64::from(result.return_value), verdict, "{length} bytes");
    }
}

#[test]
fn a_socket_filter_reads_by_helper() {
    let mut vm = Vm::load(&Object::parse(ELF, &ReadOptions::default()).expect("parses"), "socket_count").expect("loads");
    assert_eq!(vm.run(&frame(1, 2, 3, 60), 0).expect("runs"), 60);
    assert_eq!(vm.run(&frame(1, 2, 3, 60)[..33], 0).expect("runs"), 0);
    assert_eq!(vm.run(&[0; 40], 0).expect("runs"), 1);
}

fn skip(error: &dyn std::error::Error) {
    assert!(!Features::probe().functions, "programs may be loaded, but: {error}");
    trial::missing(format!("no right to load BPF programs: {error}"));
}
