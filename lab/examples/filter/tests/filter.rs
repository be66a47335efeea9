//! The filter's tests: its verdicts and its map in the VM, which needs no privileges.

use std::error::Error;

use treeline_example_filter::{OBJECT, datagram};
use treeline_lab::bpf::ReadOptions;
use treeline_lab::vm::{Object, Vm};

const XDP_DROP: u64 = 1;
const XDP_PASS: u64 = 2;

#[test]
fn datagrams_to_the_port_are_dropped_and_counted_by_sender() -> Result<(), Box<dyn Error>> {
    let object = Object::parse(OBJECT, &ReadOptions::default())?;
    let mut vm = Vm::load(&object, "filter")?;
    for (from, port, expected) in [([198, 18, 0, 1], 53, XDP_DROP), ([198, 18, 0, 1], 54, XDP_PASS), ([198, 18, 0, 1], 53, XDP_DROP)] {
        assert_eq!(vm.run(&datagram(from, port), 0)?, expected, "port {port}");
    }
    let dropped = vm.map("DROPPED").ok_or("no such map")?;
    assert_eq!(dropped.lookup(&[198, 18, 0, 1]), Some(2_u64.to_le_bytes().as_slice()));
    assert_eq!(dropped.len(), 1);
    Ok(())
}

#[test]
fn the_port_is_a_constant_that_the_loader_sets() -> Result<(), Box<dyn Error>> {
    let options = ReadOptions { globals: [("PORT".to_owned(), 123_u16.to_le_bytes().to_vec())].into(), ..ReadOptions::default() };
    let mut vm = Vm::load(&Object::parse(OBJECT, &options)?, "filter")?;
    assert_eq!(vm.run(&datagram([198, 18, 0, 1], 123), 0)?, XDP_DROP);
    assert_eq!(vm.run(&datagram([198, 18, 0, 1], 53), 0)?, XDP_PASS);
    Ok(())
}

#[test]
fn cut_off_frames_pass() -> Result<(), Box<dyn Error>> {
    let mut vm = Vm::load(&Object::parse(OBJECT, &ReadOptions::default())?, "filter")?;
    let whole = datagram([198, 18, 0, 1], 53);
    for length in 0..42 {
        assert_eq!(vm.run(&whole[..length], 0)?, XDP_PASS, "{length} bytes");
    }
    Ok(())
}
