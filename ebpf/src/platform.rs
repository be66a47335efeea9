//! What the classifier needs from the world around it. The kernel shell implements it over maps and contexts,
//! the simulator over a byte slice and a hash table, a test over whatever it wants to show.

use crate::{Alarm, Allowed, Counter, Features, Flow, Key, Link, Skip};

/// Default idle timeout, as in the paper's training data: 300 s.
pub const IDLE_TIMEOUT_NS: u64 = 300_000_000_000;
/// Default active timeout, as in the paper's training data: 1800 s.
pub const ACTIVE_TIMEOUT_NS: u64 = 1_800_000_000_000;
/// No timeout may be longer: 2 h. With it no sum of a flow can overflow; [`crate::flow`] has the arithmetic.
pub const TIMEOUT_NS_MAX: u64 = 7_200_000_000_000;

/// Settings chosen when the programs are loaded; constants from then on.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Config {
    /// A gap longer than this ends a flow, nanoseconds, at most [`TIMEOUT_NS_MAX`].
    pub idle_timeout_ns: u64,
    /// A flow older than this ends, nanoseconds, at most [`TIMEOUT_NS_MAX`].
    pub active_timeout_ns: u64,
    /// A flow's next alert comes no sooner than this after its last, nanoseconds; 0: no alerts at all.
    pub alert_interval_ns: u64,
    /// The model's id, which goes into alerts.
    pub model: u64,
    /// 1: malicious packets are dropped where the hook can drop; 0: every packet passes.
    pub enforce: u32,
    /// 1: the clock comes from the replay cell and each packet leaves a record there; 0: the kernel's clock, no record.
    pub replay: u32,
    /// 1: the allow-list is consulted before a packet's flow; 0: nothing is on it.
    pub allow: u32,
    /// 1: the XDP program is loaded for packets in several buffers, of which it reaches the first; 0: each packet has one.
    pub fragments: u32,
}

const _: () = assert!(size_of::<Config>() == 48);

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Config {
    /// The paper's timeouts; detection without alerts, on the kernel's clock.
    pub const DEFAULT: Self = Self {
        idle_timeout_ns: IDLE_TIMEOUT_NS,
        active_timeout_ns: ACTIVE_TIMEOUT_NS,
        alert_interval_ns: 0,
        model: 0,
        enforce: 0,
        replay: 0,
        allow: 0,
        fragments: 0,
    };

    /// The bytes as a loader writes them over the object's constant.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 48] {
        let Self { idle_timeout_ns, active_timeout_ns, alert_interval_ns, model, enforce, replay, allow, fragments } = *self;
        let mut bytes = [0; 48];
        let (longs, words) = bytes.split_at_mut(32);
        for (place, value) in longs.chunks_exact_mut(8).zip([idle_timeout_ns, active_timeout_ns, alert_interval_ns, model]) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
        for (place, value) in words.chunks_exact_mut(4).zip([enforce, replay, allow, fragments]) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }

    /// Whether both timeouts are in the range in which no sum can overflow: 1 ns to [`TIMEOUT_NS_MAX`].
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.idle_timeout_ns > 0
            && self.idle_timeout_ns <= TIMEOUT_NS_MAX
            && self.active_timeout_ns > 0
            && self.active_timeout_ns <= TIMEOUT_NS_MAX
    }
}

/// The world of one packet.
pub trait Platform {
    /// What its frame begins with. A kernel program's is a constant, so that it holds the code for its kind of link alone.
    fn link(&self) -> Link;

    /// `N` 32-bit words in network order that begin `offset` bytes into the frame, or `None` if they are not all within reach.
    /// No call of this trait has an offset above [`crate::packet::OFFSET_MAX`].
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]>;

    /// The byte at `offset`.
    fn byte(&self, offset: usize) -> Option<u8>;

    /// The 16-bit word in network order at `offset`.
    fn half(&self, offset: usize) -> Option<u16>;

    /// Whether the frame holds at least `length` bytes within reach.
    fn holds(&self, length: usize) -> bool;

    /// An offset of at most [`crate::packet::OFFSET_MAX`], as it is. The kernel's verifier follows every way through a parser as long as they
    /// differ in what it knows of an offset; a platform may make it forget that, so that the ways are one again.
    fn forget(&self, offset: usize) -> usize {
        offset
    }

    /// Brings more of the frame within reach, after a read failed. True if a second attempt may see more.
    fn pull(&mut self) -> bool {
        false
    }

    /// The packet's time, nanoseconds on a clock that need not be monotonic.
    fn now_ns(&mut self) -> u64;

    /// The load-time settings.
    fn config(&self) -> Config;

    /// Finds the flow of `key`, or makes room for a new one (`Flow::new(key)`), and applies `apply` to it with nobody else writing it.
    /// [`Skip::TableFull`] and [`Skip::Contended`] are its two failures.
    fn with_flow<R>(&mut self, key: &Key, apply: impl FnOnce(&mut Flow) -> R) -> Result<R, Skip>;

    /// Asks the model for the features' class: [`crate::tree::descend`], or the same tree as instructions. [`Skip::Undecided`] without a model.
    fn decide(&mut self, features: &Features) -> Result<u16, Skip>;

    /// What the allow-list says of an address ([`crate::allow::mapped`]): the entry of the longest prefix that holds it. Only asked if
    /// [`Config::allow`] is set.
    fn allowed(&self, _address: [u64; 2]) -> Option<&Allowed> {
        None
    }

    /// Hears of a packet classified malicious; only a live system tells it further.
    fn alarm(&mut self, _alarm: &Alarm<'_>) {}

    /// Adds one to a counter.
    fn count(&mut self, counter: Counter);

    /// Sees the features of a packet before the tree does; only a replay looks.
    fn trace(&mut self, features: &Features);
}
