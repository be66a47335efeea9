//! What a test is written with, from the side of its user: assertions that fail as they must, and errors that say what to do.

#[macro_use]
extern crate treeline_trial;

#[path = "../../trial/harness.rs"]
mod trial;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use treeline_lab::bpf::Hook;
use treeline_lab::{Error, Kernel, Lab, Object, Program, Result, tc, xdp};

const DIVERGE: &[u8] = include_bytes!("objects/diverge.bpf.o");
const LAB: &[u8] = include_bytes!("objects/lab.bpf.o");
const REFUSED: &[u8] = include_bytes!("../../testdata/verifier/memory.bpf.o");

fn main() -> ExitCode {
    trial::main()
}

fn program(elf: &[u8], name: &str) -> Result<Program> {
    Object::read(elf).program(name)
}

/// The lab, or `None` where programs may not be loaded into the kernel.
fn beside_the_kernel(program: Program) -> Result<Option<Lab>> {
    let lab = program.load()?;
    if lab.engines() == ["vm", "kernel"] {
        return Ok(Some(lab));
    }
    trial::missing("no right to load BPF programs (CAP_BPF, CAP_NET_ADMIN)");
    Ok(None)
}

/// What a panic says.
fn panics<T>(what: impl FnOnce() -> T) -> String {
    match catch_unwind(AssertUnwindSafe(what)) {
        Ok(_) => panic!("it does not panic"),
        Err(said) => {
            said.downcast_ref::<String>().cloned().or_else(|| said.downcast_ref::<&str>().map(|&text| text.to_owned())).expect("text")
        }
    }
}

#[test]
fn engines_that_differ_are_a_panic_with_the_source_line() -> Result {
    let Some(mut lab) = beside_the_kernel(program(DIVERGE, "xdp_packet")?)? else { return Ok(()) };
    let said = panics(|| (0..10).try_for_each(|_| lab.run([7; 64]).map(drop)));
    assert!(said.starts_with("xdp_packet: DIVERGENCE of vm and kernel at frame "), "{said}");
    assert!(
        said.contains("packet[5..6] last written by xdp_packet, instruction 10") && said.contains("./diverge.bpf.c:61: data[5] = high;"),
        "{said}"
    );
    Ok(())
}

#[test]
fn engines_that_differ_over_a_capture_do_not_agree() -> Result {
    let Some(lab) = beside_the_kernel(program(DIVERGE, "xdp_packet")?)? else { return Ok(()) };
    let replayed = lab.replay("../testdata/captures/lab-portscan.pcap")?;
    let said = panics(|| replayed.agrees());
    assert!(said.contains("DIVERGENCE of vm and kernel at frame 3") && said.contains("./diverge.bpf.c:61"), "{said}");
    Ok(())
}

#[test]
fn what_a_program_must_not_do_is_an_error_with_the_source_line() -> Result {
    let lab = program(DIVERGE, "xdp_long")?.vm_alone().load()?;
    let said = panics(|| lab.replay("../testdata/captures/lab-portscan.pcap").expect("a capture").agrees());
    assert!(said.contains("STOPPED at frame 54") && said.contains("./diverge.bpf.c:105: *turns += turn;"), "{said}");
    Ok(())
}

#[test]
fn an_expectation_that_fails_says_what_was_returned() -> Result {
    let mut lab = program(LAB, "xdp_lab")?.vm_alone().load()?;
    let said = panics(|| lab.run([0; 60]).expect("runs").expect(xdp::TX));
    assert!(said.starts_with("xdp_lab returned XDP_") && said.contains(", expected XDP_TX\n  the packet: 00"), "{said}");
    let replayed = program(LAB, "tc_lab")?.vm_alone().load()?.replay("../testdata/captures/lab-portscan.pcap")?;
    let said = panics(|| replayed.agrees().expect_all(tc::SHOT));
    assert!(said.starts_with("tc_lab: not every packet returned TC_ACT_SHOT: TC_ACT_"), "{said}");
    Ok(())
}

#[test]
fn an_expectation_of_every_packet_wants_a_packet() -> Result {
    let empty = tempfile::NamedTempFile::new().expect("a file");
    let header = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1_u32];
    std::fs::write(empty.path(), header.map(u32::to_le_bytes).concat()).expect("written");
    let replayed = program(LAB, "tc_lab")?.vm_alone().load()?.replay(empty.path())?.agrees();
    let said = panics(|| replayed.expect_all(tc::OK));
    assert_eq!(said, "tc_lab: not every packet returned TC_ACT_OK: no packet was run");
    Ok(())
}

#[test]
fn a_packet_that_no_kernel_takes_is_an_error_and_every_prefix_runs_it_in_the_vm() -> Result {
    let filter = || program(include_bytes!("../examples/filter/filter.bpf.o"), "filter");
    let Some(mut lab) = beside_the_kernel(filter()?)? else { return Ok(()) };
    let error = lab.run([0; 13]).expect_err("too short");
    assert!(matches!(error, Error::NotTaken { bytes: 13, .. }), "{error}");
    let mut lengths = Vec::new();
    lab.every_prefix([0; 20], |run| {
        lengths.push(run.packet().len());
        run.expect(xdp::PASS)
    })?;
    assert_eq!(lengths, (0..20).collect::<Vec<_>>());
    filter()?.vm_alone().load()?.run([0; 13])?.expect(xdp::PASS);
    Ok(())
}

#[test]
fn what_is_not_there_is_an_error_that_says_what_is() -> Result {
    let error = |result: Result<()>| result.expect_err("refused").to_string();
    assert_eq!(error(program(LAB, "nope").map(drop)), "no program `nope` in the object, which has: socket_lab, tc_lab, xdp_lab");
    assert!(error(Object::read(LAB).global("NOPE", 1_u8).map(drop)).contains("the object has no variable `NOPE`"));
    assert!(error(Object::open("nothing.bpf.o").map(drop)).starts_with("nothing.bpf.o: No such file"));
    assert!(error(Object::read([]).program("x").map(drop)).contains("the file is empty"));
    let mut lab = program(LAB, "xdp_lab")?.vm_alone().load()?;
    assert!(error(lab.map::<u32, u64>("NOPE").map(drop)).starts_with("map NOPE: the object has no such map; it has "));
    assert!(error(lab.map::<u64, u64>("HASH").map(drop)).starts_with("map HASH: keys of 4 and values of "));
    lab.run([0; 60])?;
    assert!(matches!(lab.replay("../testdata/captures/edge-not-ip.pcap").map(drop), Err(Error::Used)));
    Ok(())
}

#[test]
fn a_map_that_is_written_between_packets_is_written_in_every_engine() -> Result {
    let filter = program(include_bytes!("../examples/filter/filter.bpf.o"), "filter")?;
    let mut lab = filter.put("DROPPED", [198_u8, 18, 0, 1], 3_u64)?.load()?;
    let mut packet = vec![0; 60];
    packet[12..15].copy_from_slice(&[8, 0, 0x45]);
    (packet[23], packet[37]) = (17, 53);
    packet[26..30].copy_from_slice(&[198, 18, 0, 1]);
    lab.run(&packet)?.expect(xdp::DROP);
    let mut dropped = lab.map::<[u8; 4], u64>("DROPPED")?;
    assert_eq!(dropped.get(&[198, 18, 0, 1])?, Some(4));
    dropped.put(&[198, 18, 0, 1], &10)?;
    lab.run(&packet)?.expect(xdp::DROP);
    assert_eq!(lab.map::<[u8; 4], u64>("DROPPED")?.entries()?, [([198, 18, 0, 1], 11)]);
    Ok(())
}

#[test]
fn a_program_whose_section_says_nothing_is_what_the_test_says() -> Result {
    let untyped = include_bytes!("objects/untyped.bpf.o");
    let name = treeline_lab::bpf::Object::parse(untyped, &treeline_lab::bpf::ReadOptions::default())?.programs()[0].name.clone();
    assert!(Object::read(untyped).hook(Hook::Tc).program(&name).is_ok());
    Ok(())
}

#[test]
fn a_rejected_program_is_a_panic_with_the_verifiers_reason() -> Result {
    let Some(lab) = beside_the_kernel(program(LAB, "xdp_lab")?)? else { return Ok(()) };
    assert!(lab.verify(&Kernel::running())?.accepted().cost().starts_with("xdp_lab: "));
    let name = treeline_lab::bpf::Object::parse(REFUSED, &treeline_lab::bpf::ReadOptions::default())?.programs()[0].name.clone();
    let lab = program(REFUSED, &name)?.vm_alone().load()?;
    let said = panics(|| lab.verify(&Kernel::running()).expect("asked").accepted());
    assert!(said.starts_with(&format!("{name}: rejected [")) && said.contains("memory.bpf.c:"), "{said}");
    Ok(())
}
