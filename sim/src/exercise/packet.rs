//! One frame through the classifier's parser, the reference's, and etherparse's own.
//!
//! The oracle compares outcome, endpoints and length with the reference. Where etherparse accepts the whole frame too, addresses, length and
//! ports must be its own. Not compared: frames that only one of the two accepts, for etherparse wants whole headers and the rules do not.

use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::LazyLock;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use treeline_ebpf::packet::{TCP, UDP};
use treeline_ebpf::{Config, Outcome};
use treeline_model::{BENIGN, Model, Node};

use super::Finding;
use crate::conversation::Conversation;
use crate::engine::native::Native;
use crate::engine::{Engine, Hook, Observation, Settings};
use crate::oracle::{self, Divergence};
use crate::reference::{FloatTree, Reference};
use treeline_lab::Frame;

/// One leaf: the tree does not matter here, but 128 KiB of it would take most of the time.
static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let model = Model::from_nodes("one leaf", vec![BENIGN.to_owned()], vec![Node::Leaf { class: 0 }]).expect("a leaf is a tree");
    Settings::new(Hook::Xdp, Config::default(), &model, 1)
});

/// Runs the exercise on a frame that begins at the Ethernet header; says what the classifier made of it.
pub fn packet(bytes: &[u8]) -> Result<Outcome, Finding> {
    let frame = Frame { original_length: u32::try_from(bytes.len()).unwrap_or(u32::MAX), bytes: bytes.to_vec(), ..Frame::default() };
    let mut native = Native::new(&SETTINGS);
    let observation = native.judge(&frame)?;
    let judgement = Reference::new(SETTINGS.config, FloatTree::constant(0)).judge(&frame);
    let differences = oracle::compare_reference(&observation, &judgement);
    if !differences.is_empty() {
        return Err(Finding::Divergence(Box::new(Divergence { engines: [native.name(), "reference"], frame, differences })));
    }
    against_etherparse(&observation, bytes)?;
    Ok(observation.outcome)
}

/// Where both accept the frame, both read the same.
fn against_etherparse(observation: &Observation, bytes: &[u8]) -> Result<(), Finding> {
    let (Some(flow), Some(features)) = (&observation.flow, &observation.features) else { return Ok(()) };
    let Ok(sliced) = SlicedPacket::from_ethernet(bytes) else { return Ok(()) };
    // The flow's first packet: its originator is the packet's source.
    let Conversation { originator, responder, protocol } = Conversation::of(flow);
    let (source, destination, length) = match &sliced.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()), u64::from(header.total_len()))
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()), 40 + u64::from(header.payload_length()))
        }
        _ => return same("network", &"IP", &"not IP"),
    };
    same("source", &originator.0, &source)?;
    same("destination", &responder.0, &destination)?;
    same("length", &(features[3] >> 16).cast_unsigned(), &length)?;
    match (&sliced.transport, protocol) {
        (Some(TransportSlice::Tcp(tcp)), TCP) => same("ports", &(originator.1, responder.1), &(tcp.source_port(), tcp.destination_port())),
        (Some(TransportSlice::Udp(udp)), UDP) => same("ports", &(originator.1, responder.1), &(udp.source_port(), udp.destination_port())),
        (Some(TransportSlice::Udp(_)), TCP) => same("transport", &"TCP", &"UDP"),
        (Some(TransportSlice::Tcp(_)), UDP) => same("transport", &"UDP", &"TCP"),
        _ => Ok(()),
    }
}

fn same<T: PartialEq + Debug>(what: &'static str, classifier: &T, etherparse: &T) -> Result<(), Finding> {
    if classifier == etherparse {
        return Ok(());
    }
    Err(Finding::Reading { what, classifier: format!("{classifier:?}"), etherparse: format!("{etherparse:?}") })
}
