//! The filter's tests: its verdicts and its map in the VM, without rights, and the kernel beside it where that is allowed.

use std::error::Error;

use etherparse::PacketBuilder;
use treeline_example_filter::OBJECT;
use treeline_sim::Frame;
use treeline_sim::lab::{Engine, LabError, Machine, kernel};
use treeline_sim::vm::{Object, Options, Vm};

const XDP_DROP: u64 = 1;
const XDP_PASS: u64 = 2;

fn datagram(from: [u8; 4], port: u16) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from, [198, 18, 0, 2], 64).udp(40_000, port);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, b"question").expect("a vector takes all");
    bytes
}

#[test]
fn datagrams_to_the_port_are_dropped_and_counted_by_sender() -> Result<(), Box<dyn Error>> {
    let object = Object::parse(OBJECT, &Options::default())?;
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
    let options = Options { globals: [("PORT".to_owned(), 123_u16.to_le_bytes().to_vec())].into(), ..Options::default() };
    let mut vm = Vm::load(&Object::parse(OBJECT, &options)?, "filter")?;
    assert_eq!(vm.run(&datagram([198, 18, 0, 1], 123), 0)?, XDP_DROP);
    assert_eq!(vm.run(&datagram([198, 18, 0, 1], 53), 0)?, XDP_PASS);
    Ok(())
}

#[test]
fn cut_off_frames_pass() -> Result<(), Box<dyn Error>> {
    let mut vm = Vm::load(&Object::parse(OBJECT, &Options::default())?, "filter")?;
    let whole = datagram([198, 18, 0, 1], 53);
    for length in 0..42 {
        assert_eq!(vm.run(&whole[..length], 0)?, XDP_PASS, "{length} bytes");
    }
    Ok(())
}

#[test]
fn the_kernel_does_the_same() -> Result<(), Box<dyn Error>> {
    let object = Object::parse(OBJECT, &Options::default())?;
    let mut kernel = match kernel::Machine::new(&object, "filter") {
        Ok(kernel) => kernel,
        // Not silent: with CI set, as root, this is a failure.
        Err(error @ LabError::Unavailable { .. }) if std::env::var_os("CI").is_none() => {
            println!("skipped: {error}");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let mut vm = Machine::new(&object, "filter")?;
    for (index, port) in (0..).zip([53, 54, 53]) {
        let frame = Frame { index, bytes: datagram([198, 18, 0, 1], port), ..Frame::default() };
        assert_eq!(vm.run(&frame)?, kernel.run(&frame)?);
    }
    assert_eq!(vm.entries(1)?, kernel.entries(1)?);
    Ok(())
}
