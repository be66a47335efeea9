//! The filter's tests: in the VM, which needs no privileges, and in the kernel where programs may be loaded; the two are compared packet by
//! packet.

use example_filter_aya::{OBJECT, datagram};
use treeline_lab::{Kernel, Lab, Object, Result, xdp};

const SENDER: [u8; 4] = [198, 18, 0, 1];

fn filter(port: u16) -> Result<Lab> {
    Object::read(OBJECT).global("PORT", port)?.program("filter")?.load()
}

#[test]
fn datagrams_to_the_port_are_dropped_and_counted_by_sender() -> Result {
    let mut lab = filter(53)?;
    for (port, verdict) in [(53, xdp::DROP), (54, xdp::PASS), (53, xdp::DROP)] {
        lab.run(datagram(SENDER, port))?.expect(verdict).unchanged();
    }
    assert_eq!(lab.map::<[u8; 4], u64>("DROPPED")?.entries()?, [(SENDER, 2)]);
    Ok(())
}

#[test]
fn the_port_is_a_constant_that_the_loader_sets() -> Result {
    let mut lab = filter(123)?;
    lab.run(datagram(SENDER, 123))?.expect(xdp::DROP);
    lab.run(datagram(SENDER, 53))?.expect(xdp::PASS);
    Ok(())
}

#[test]
fn cut_off_frames_pass() -> Result {
    let headers = &datagram(SENDER, 53)[..42];
    filter(53)?.every_prefix(headers, |run| run.expect(xdp::PASS))
}

#[test]
fn the_verifier_accepts_it_where_it_may_be_asked() -> Result {
    let lab = filter(53)?;
    if lab.engines().contains(&"kernel") {
        let cost = lab.verify(&Kernel::running())?.accepted().cost();
        assert!(cost.starts_with("filter: ") && cost.contains(" instructions processed"), "{cost}");
    }
    Ok(())
}
