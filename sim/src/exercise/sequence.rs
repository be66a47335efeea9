//! Bytes become a whole case, settings, a tree and frames with times, that runs through all engines in lockstep.
//!
//! Every byte string is a case, numbers are little-endian and what is missing is zero:
//!
//! | part | fields |
//! |---|---|
//! | settings | idle and active timeout, ns (u64 each, modulo the longest), hook and mode (u8: number modulo 3, bit 7 enforces, bit 6 passes what is midstream or, with bit 5, waits for a third packet), first time, ns (u64) |
//! | allow-list, if the mode's bits 3 and 4 are set | number of entries (u8, at most 7), then each: whom (u8), prefix (u8, modulo 129) |
//! | tree | number of splits (u8, at most 63), then each: feature, leaf to split, classes of both halves (u8 each), threshold (i64, fixed point) |
//! | frame, at most 256 | form (u8), step in time, then what the form asks for |
//!
//! The form's low two bits choose TCP over IPv4, UDP over IPv4, TCP over IPv6, or a frame as it is (length u16, bytes). The first three have
//! hosts and ports (u8, two bits each), TCP flags (u8) and a payload length (u16). Further bits: 4 replaces a byte (offset u8, value u8), 8 cuts
//! the frame (length u8), 16 tags it.
//!
//! An entry's bits: 3 the host, 4 IPv6, 8 only one service, its port in 48, UDP in 64.
//!
//! A step is a byte and what it asks for: below 90 a power of two times a byte, forward or back; 240 to 245 the idle or active timeout less one,
//! exactly, or more by one; 255 an absolute time (u64); any other none.
//!
//! A threshold that no f64 holds is rounded to one that does, for the reference's tree is one of real numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use arbitrary::{Result as Drawn, Unstructured};
use treeline_ebpf::allow::{Network, Service};
use treeline_ebpf::platform::TIMEOUT_NS_MAX;
use treeline_ebpf::tree::DEPTH_MAX;
use treeline_ebpf::{Allowed, Config, Counters, FEATURES, packet};
use treeline_model::{BENIGN, Model, Node, Precondition};

use super::Finding;
use crate::allow::List;
use crate::engine::native::Native;
use crate::engine::vm::Vm;
use crate::engine::{Engine, EngineError, Hook, Settings};
use crate::oracle::{self, Divergence};
use crate::reference::Reference;
use treeline_lab::Frame;

#[expect(clippy::cast_possible_truncation, reason = "twelve")]
const FEATURES_COUNT: u8 = FEATURES as u8;
const SPLITS_MAX: u8 = 63;
const FRAMES_MAX: u64 = 256;
/// Twice [`FRAMES_MAX`], so that no engine evicts a flow.
const FLOWS_MAX: u32 = 512;
/// Longest frame as it is, bytes: beyond it engines no longer look.
const FRAME_BYTES_MAX: usize = 2_500;
/// Names of the classes a tree may have.
const CLASSES: [&str; 4] = [BENIGN, "flood", "scan", "guess"];

/// What a sequence's bytes say.
#[derive(Debug, Clone)]
pub struct Case {
    /// Settings of all engines; the tree is the model's.
    pub settings: Settings,
    /// The model.
    pub model: Model,
    /// The frames in order.
    pub frames: Vec<Frame>,
}

/// Runs the case of `bytes` through all exact engines, the vm also with a compiled tree, and the reference; gives the steps of the counters.
pub fn sequence(bytes: &[u8]) -> Result<Counters, Finding> {
    let case = Case::decode(bytes);
    let mut engines = exact_engines(&case.settings)?;
    let compiled = case.settings.clone().compiled(&case.model).expect("any model can be linked");
    engines.push(Box::new(Vm::new(&compiled)?));
    lockstep(&case, &mut engines)
}

/// The engines that must agree exactly and need no rights.
pub fn exact_engines(settings: &Settings) -> Result<Vec<Box<dyn Engine>>, EngineError> {
    Ok(vec![Box::new(Native::new(settings)), Box::new(Vm::new(settings)?)])
}

/// Runs every frame through `engines` (at least one) and a new reference, and compares after each.
pub fn lockstep(case: &Case, engines: &mut [Box<dyn Engine>]) -> Result<Counters, Finding> {
    let mut reference = Reference::of(case.settings.config, &case.model).with_allow(&case.settings.allow);
    let mut counters = Counters::default();
    let (first, others) = engines.split_first_mut().expect("at least one engine");
    for frame in &case.frames {
        let base = first.judge(frame)?;
        let diverged = |other, differences: Vec<_>| {
            if differences.is_empty() {
                return Ok(());
            }
            Err(Finding::Divergence(Box::new(Divergence { engines: [first.name(), other], frame: frame.clone(), differences })))
        };
        for other in &mut *others {
            match other.judge(frame) {
                Ok(observation) => diverged(other.name(), oracle::compare(&base, &observation))?,
                Err(EngineError::Untaken { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        diverged("reference", oracle::compare_reference(&base, &reference.judge(frame)))?;
        for (total, step) in counters.iter_mut().zip(base.counted) {
            *total += step;
        }
    }
    Ok(counters)
}

impl Case {
    /// The case that `bytes` say.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut bytes = Unstructured::new(bytes);
        let mut draw = || -> Drawn<Self> {
            let (config, hook, [waits, passes], start_ns, allow) = settings(&mut bytes)?;
            let nodes = tree(&mut bytes)?;
            let classes = CLASSES.map(str::to_owned).to_vec();
            let model = Model::from_nodes("drawn", classes, nodes).expect("growing a leaf keeps a tree a tree");
            let packets_min = if waits { 3 } else { 1 };
            let asked = Precondition::new(packets_min, passes).and_then(|precondition| model.clone().with_precondition(precondition));
            let model = asked.unwrap_or(model);
            let frames = frames(&mut bytes, &config, start_ns)?;
            let settings = Settings { allow: Arc::new(allow), ..Settings::new(hook, config, &model, FLOWS_MAX) };
            Ok(Self { settings, model, frames })
        };
        draw().expect("numbers and as many bytes as there are can always be drawn")
    }
}

/// Configuration, hook, whether the model waits and whether it passes what is midstream, the clock's first time, the allow-list.
fn settings(bytes: &mut Unstructured) -> Drawn<(Config, Hook, [bool; 2], u64, List)> {
    let mut timeout_ns = || bytes.arbitrary::<u64>().map(|number| 1 + number % TIMEOUT_NS_MAX);
    let (idle_timeout_ns, active_timeout_ns) = (timeout_ns()?, timeout_ns()?);
    let choice: u8 = bytes.arbitrary()?;
    let config = Config { idle_timeout_ns, active_timeout_ns, enforce: u32::from(choice >> 7), ..Config::default() };
    let unasked = [choice & 0x60 == 0x60, choice & 0x60 == 0x40];
    let start_ns = bytes.arbitrary()?;
    let allow = if choice & 0x18 == 0x18 { allow(bytes)? } else { List::default() };
    Ok((config, Hook::ALL[usize::from(choice) % 3], unasked, start_ns, allow))
}

/// An allow-list of the hosts that frames are built between, and of networks around them.
fn allow(bytes: &mut Unstructured) -> Drawn<List> {
    let mut entries = BTreeMap::new();
    for _ in 0..bytes.arbitrary::<u8>()? & 7 {
        let [whom, prefix]: [u8; 2] = bytes.arbitrary()?;
        let prefix_bits = u32::from(prefix % 129);
        let host = u128::from(whom & 3) | if whom & 4 == 0 { 0xffff_c612_0000 } else { 0x2001_0db8 << 96 };
        let address = (host & u128::MAX.checked_shl(128 - prefix_bits).unwrap_or(0)).to_be_bytes();
        let mut allowed = Allowed::default();
        if whom & 8 != 0 {
            let protocol = if whom & 64 == 0 { packet::TCP } else { packet::UDP };
            allowed.services[0] = Service { protocol, reserved: 0, port: 0x1f00 | u16::from(whom >> 4 & 3) };
            allowed.count = 1;
        }
        entries.insert((prefix_bits, address), allowed);
    }
    Ok(entries.into_iter().map(|((prefix_bits, address), allowed)| (Network { prefix_bits, address }, allowed)).collect())
}

/// Grows a tree from one leaf; a leaf at the greatest depth stays one.
fn tree(bytes: &mut Unstructured) -> Drawn<Vec<Node>> {
    let class = |number: u8| Node::Leaf { class: u16::from(number) % 4 };
    let mut nodes = vec![class(1)];
    let mut open = vec![(0, 0)];
    for _ in 0..bytes.arbitrary::<u8>()?.min(SPLITS_MAX) {
        let [feature, place, classes]: [u8; 3] = bytes.arbitrary()?;
        let threshold = representable(bytes.arbitrary()?);
        let (leaf, depth): (usize, usize) = open.swap_remove(usize::from(place) % open.len());
        let left = u16::try_from(nodes.len()).expect("at most 127 nodes");
        nodes[leaf] = Node::Inner { feature: u16::from(feature % FEATURES_COUNT), threshold, left, right: left + 1 };
        nodes.extend([class(classes), class(classes >> 4)]);
        if depth + 1 < DEPTH_MAX {
            open.extend([(usize::from(left), depth + 1), (usize::from(left) + 1, depth + 1)]);
        }
    }
    Ok(nodes)
}

/// The next threshold below that an f64 holds: 53 bits.
fn representable(threshold: i64) -> i64 {
    if threshold.unsigned_abs() < 1 << 53 { threshold } else { threshold & !0x7ff }
}

fn frames(bytes: &mut Unstructured, config: &Config, start_ns: u64) -> Drawn<Vec<Frame>> {
    let mut frames = Vec::new();
    let mut time_ns = start_ns;
    while !bytes.is_empty() && (frames.len() as u64) < FRAMES_MAX {
        let form: u8 = bytes.arbitrary()?;
        time_ns = step(bytes, time_ns, config)?;
        let mut frame = if form & 3 == 3 { as_it_is(bytes)? } else { built(bytes, form)? };
        if form & 4 != 0 {
            let [offset, value]: [u8; 2] = bytes.arbitrary()?;
            if let Some(byte) = frame.get_mut(usize::from(offset)) {
                *byte = value;
            }
        }
        let original_length = u32::try_from(frame.len()).expect("a short frame");
        if form & 8 != 0 {
            frame.truncate(bytes.arbitrary::<u8>()?.into());
        }
        frames.push(Frame { index: frames.len() as u64, time_ns, original_length, bytes: frame });
    }
    Ok(frames)
}

/// The next frame's time.
fn step(bytes: &mut Unstructured, time_ns: u64, config: &Config) -> Drawn<u64> {
    let kind: u8 = bytes.arbitrary()?;
    Ok(match kind {
        0..90 => {
            let step_ns = u64::from(bytes.arbitrary::<u8>()?) << (kind / 2);
            if kind.is_multiple_of(2) { time_ns.saturating_add(step_ns) } else { time_ns.saturating_sub(step_ns) }
        }
        240..=242 => time_ns.saturating_add(config.idle_timeout_ns - 1 + u64::from(kind - 240)),
        243..=245 => time_ns.saturating_add(config.active_timeout_ns - 1 + u64::from(kind - 243)),
        255 => bytes.arbitrary()?,
        _ => time_ns,
    })
}

fn as_it_is(bytes: &mut Unstructured) -> Drawn<Vec<u8>> {
    let length = usize::from(bytes.arbitrary::<u16>()?).min(bytes.len()).min(FRAME_BYTES_MAX);
    bytes.bytes(length).map(<[u8]>::to_vec)
}

/// A sound frame of headers alone, between four hosts with four ports each.
fn built(bytes: &mut Unstructured, form: u8) -> Drawn<Vec<u8>> {
    let [ends, flags]: [u8; 2] = bytes.arbitrary()?;
    let payload: u16 = bytes.arbitrary()?;
    let [source, destination, source_port, destination_port] = [0, 2, 4, 6].map(|shift| ends >> shift & 3);
    let (udp, version_6) = (form & 3 == 1, form & 3 == 2);
    let transport_length = if udp { 8 } else { 20 };
    let network_length = if version_6 { 0 } else { 20 };
    let length = payload.min(u16::MAX - transport_length - network_length) + transport_length;

    let mut frame = vec![0x02; 12];
    if form & 16 != 0 {
        frame.extend([0x81, 0, 0, 7]);
    }
    let [length_high, length_low] = (length + network_length).to_be_bytes();
    if version_6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, length_high, length_low, 6, 64]);
        for host in [source, destination] {
            frame.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
        }
    } else {
        let protocol = if udp { 17 } else { 6 };
        frame.extend([0x08, 0, 0x45, 0, length_high, length_low, 0, 0, 0, 0, 64, protocol, 0, 0]);
        frame.extend([198, 18, 0, source, 198, 18, 0, destination]);
    }
    frame.extend([0x1f, source_port, 0x1f, destination_port]);
    if udp {
        frame.extend(length.to_be_bytes());
        frame.extend([0, 0]);
    } else {
        frame.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
    }
    Ok(frame)
}
