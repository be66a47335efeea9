//! packet -> flow -> features: rules 7 to 10 and the table of features, for one flow.

use treeline_ebpf::Config;

use super::feature::{FEATURES, Feature};
use super::packet::{Endpoint, Packet};
use super::real::Real;

/// Packets after which a flow ends (rule 8).
const PACKETS_MAX: u64 = 2_147_483_648;

/// Why a flow ended (rule 8), in the order the questions are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// Silent for longer than the idle timeout.
    Idle,
    /// Older than the active timeout.
    Active,
    /// As many packets as a flow may hold.
    Limit,
    /// Closed by TCP, or midstream, and a new SYN came.
    Closed,
}

/// What one packet gives to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Events {
    /// It opened a flow.
    pub opened: bool,
    /// It ended the flow of its key before that.
    pub ended: Option<End>,
    /// It was earlier than its flow's latest time.
    pub clock_back: bool,
}

/// One flow so far.
#[expect(clippy::struct_excessive_bools, reason = "four answers of TCP's, each by itself")]
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// The source of the packet that opened it.
    pub originator: Endpoint,
    /// The other end.
    pub responder: Endpoint,
    /// IP protocol number.
    pub protocol: u8,
    /// Time of the first packet, nanoseconds.
    pub first_ns: u64,
    /// Latest time of any packet, nanoseconds.
    pub last_ns: u64,
    /// Packets so far.
    pub packets: u64,
    /// Packets from the originator.
    pub packets_forward: u64,
    /// The originator sent FIN.
    pub fin_originator: bool,
    /// The responder sent FIN.
    pub fin_responder: bool,
    /// Either side sent RST.
    pub reset: bool,
    /// It began in the middle of a TCP connection (rule 9).
    pub midstream: bool,
    pub(crate) length: Series,
    pub(crate) gap: Series,
    pub(crate) direction: Series,
}

/// One whole number per packet, of which only sums are kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Series {
    pub(crate) sum: u64,
    /// Sum of |value - mean at that packet|.
    deviation_sum: Real,
    /// How many values were above the mean at their packet.
    over: u64,
    /// How many were below it.
    under: u64,
}

impl Flow {
    /// A flow that `packet` is about to open.
    pub(super) fn open(packet: &Packet, now_ns: u64) -> Self {
        Self {
            originator: packet.source,
            responder: packet.destination,
            protocol: packet.protocol,
            first_ns: now_ns,
            last_ns: now_ns,
            packets: 0,
            packets_forward: 0,
            fin_originator: false,
            fin_responder: false,
            reset: false,
            midstream: packet.flags.is_some_and(|flags| flags.ack && !flags.syn && !flags.rst),
            length: Series::default(),
            gap: Series::default(),
            direction: Series::default(),
        }
    }

    /// Whether TCP has closed it (rule 9).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.reset || (self.fin_originator && self.fin_responder)
    }

    /// Whether the flow is over for a packet of its key that comes now, and why (rule 8).
    pub(super) fn end(&self, packet: &Packet, now_ns: u64, config: &Config) -> Option<End> {
        let later_ns = |than_ns: u64| i128::from(now_ns) - i128::from(than_ns);
        if later_ns(self.last_ns) > i128::from(config.idle_timeout_ns) {
            return Some(End::Idle);
        }
        if later_ns(self.first_ns) > i128::from(config.active_timeout_ns) {
            return Some(End::Active);
        }
        if self.packets == PACKETS_MAX {
            return Some(End::Limit);
        }
        let opens = packet.flags.is_some_and(|flags| flags.syn && !flags.ack);
        if (self.is_closed() || self.midstream) && opens {
            return Some(End::Closed);
        }
        None
    }

    /// Adds a packet and returns its features.
    pub(super) fn join(&mut self, packet: &Packet, now_ns: u64) -> [Feature; FEATURES] {
        let forward = packet.source == self.originator;
        // Rule 10. A flow's latest time is its first packet's when that packet comes, so its gap is 0 as well.
        let gap_ns = now_ns.saturating_sub(self.last_ns);
        self.last_ns = self.last_ns.max(now_ns);

        self.packets += 1;
        self.packets_forward += u64::from(forward);
        if let Some(flags) = packet.flags {
            self.reset |= flags.rst;
            self.fin_originator |= flags.fin && forward;
            self.fin_responder |= flags.fin && !forward;
        }

        let length = u64::from(packet.length);
        let direction = u64::from(forward);
        let (length_mean, length_deviation) = self.length.extend(length, self.packets);
        let (gap_mean, gap_deviation) = self.gap.extend(gap_ns, self.packets);
        let (direction_mean, direction_deviation) = self.direction.extend(direction, self.packets);
        [
            Feature::whole(u64::from(self.originator.port)),
            Feature::whole(u64::from(self.responder.port)),
            Feature::whole(u64::from(self.protocol)),
            Feature::whole(length),
            Feature::whole(gap_ns),
            Feature::whole(direction),
            length_mean,
            gap_mean,
            direction_mean,
            length_deviation,
            gap_deviation,
            direction_deviation,
        ]
    }
}

impl Series {
    /// Adds the `packets`-th value; returns the mean and the mean absolute deviation from here on.
    fn extend(&mut self, value: u64, packets: u64) -> (Feature, Feature) {
        self.sum += value;
        let mean = Real::whole(self.sum).divided_by(packets);
        self.deviation_sum = self.deviation_sum.plus(Real::whole(value).distance(mean));

        // Which side of the mean the value lies on, in whole numbers: value against sum / packets.
        let (scaled, sum) = (u128::from(value) * u128::from(packets), u128::from(self.sum));
        self.over += u64::from(scaled > sum);
        self.under += u64::from(scaled < sum);

        let deviation = self.deviation_sum.divided_by(packets);
        (Feature::mean(mean, packets), Feature::deviation(deviation, packets, self.over, self.under))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use treeline_ebpf::platform::TIMEOUT_NS_MAX;

    fn packet() -> Packet {
        let endpoint = |port| Endpoint { address: Ipv4Addr::LOCALHOST.into(), port };
        Packet { source: endpoint(1), destination: endpoint(2), protocol: 17, length: 65_575, flags: None }
    }

    #[test]
    fn a_flow_ends_at_two_to_the_31_packets_and_not_before() {
        let mut flow = Flow::open(&packet(), 0);
        flow.packets = (1 << 31) - 1;
        assert_eq!(flow.end(&packet(), 0, &Config::default()), None);
        flow.join(&packet(), 0);
        assert_eq!(flow.end(&packet(), 0, &Config::default()), Some(End::Limit));
    }

    #[test]
    fn the_largest_flow_there_can_be_is_still_summed_exactly() {
        let mut flow = Flow::open(&packet(), 0);
        flow.packets = (1 << 31) - 1;
        flow.length.sum = 65_575 * flow.packets;
        flow.length.deviation_sum = Real::whole((1 << 48) - 65_575);
        flow.gap.deviation_sum = Real::whole((1 << 48) - TIMEOUT_NS_MAX);
        let features = flow.join(&packet(), TIMEOUT_NS_MAX);
        assert!(features[6].admits(65_575 << 16), "{:?}", features[6]);
        assert!(!features[6].admits((65_575 << 16) - 1) && !features[6].admits((65_575 << 16) + 1));
        assert!(features[7].admits(219_726_562), "floor(7.2e12 * 2^16 / 2^31): {:?}", features[7]);
        assert!(!features[7].admits(219_726_561) && !features[7].admits(219_726_563));
    }
}
