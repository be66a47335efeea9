//! tree -> verdict: what came of a packet, and the counters that say so.

use crate::Config;

/// What the classifier made of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The tree's class; 0 is benign, any other malicious.
    Judged(u16),
    /// Not classified, for the reason given; such a packet always passes.
    Skipped(Skip),
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// An index into [`Counters`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Counter { $($(#[$doc])* $name,)* }

        impl Counter {
            /// All counters in order.
            pub const ALL: [Self; COUNTERS] = [$(Self::$name,)*];

            /// The counter's name in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

/// How many counters there are.
pub const COUNTERS: usize = 19;

counters! {
    /// Classified benign.
    Benign = "benign",
    /// Classified malicious.
    Malicious = "malicious",
    /// Passed: [`Skip::NotIp`].
    NotIp = "not-ip",
    /// Passed: [`Skip::Truncated`].
    Truncated = "truncated",
    /// Passed: [`Skip::Malformed`].
    Malformed = "malformed",
    /// Passed: [`Skip::LaterFragment`].
    LaterFragment = "later-fragment",
    /// Passed: [`Skip::HeaderChain`].
    HeaderChain = "header-chain",
    /// Passed: [`Skip::Allowed`].
    Allowed = "allowed",
    /// Passed: [`Skip::TableFull`].
    TableFull = "table-full",
    /// Passed: [`Skip::Contended`].
    Contended = "contended",
    /// Passed: [`Skip::Undecided`].
    Undecided = "undecided",
    /// Flows opened, first and later ones of a key.
    Opened = "flows-opened",
    /// Flows ended by the idle timeout.
    EndedIdle = "ended-idle",
    /// Flows ended by the active timeout.
    EndedActive = "ended-active",
    /// Flows ended by [`crate::flow::PACKETS_MAX`].
    EndedLimit = "ended-limit",
    /// Closed TCP flows ended by a new SYN.
    EndedClosed = "ended-closed",
    /// Packets earlier than their flow's latest.
    ClockBack = "clock-back",
    /// Malicious packets dropped (enforce).
    Dropped = "dropped",
    /// Updates of a flow that was evicted meanwhile: its entry belongs to another flow now, which the update may have spoiled.
    Evicted = "evicted",
}

/// One number per [`Counter`].
pub type Counters = [u64; COUNTERS];

/// Why a packet was passed without a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skip {
    /// Neither IPv4 nor IPv6 behind at most two VLAN tags.
    NotIp,
    /// The frame ends before a header that must be there does.
    Truncated,
    /// Lengths or versions in the headers contradict each other.
    Malformed,
    /// Not the first fragment: no ports.
    LaterFragment,
    /// More extension headers than are walked, or too long.
    HeaderChain,
    /// An endpoint is on the allow-list.
    Allowed,
    /// The flow table took no new entry.
    TableFull,
    /// The flow stayed locked by other CPUs.
    Contended,
    /// No tree loaded, or one that never reaches a leaf.
    Undecided,
}

impl Skip {
    /// All reasons, in the order of their codes.
    pub const ALL: [Self; 9] = [
        Self::NotIp,
        Self::Truncated,
        Self::Malformed,
        Self::LaterFragment,
        Self::HeaderChain,
        Self::Allowed,
        Self::TableFull,
        Self::Contended,
        Self::Undecided,
    ];

    /// The counter that counts it.
    #[must_use]
    #[inline(always)]
    pub const fn counter(self) -> Counter {
        match self {
            Self::NotIp => Counter::NotIp,
            Self::Truncated => Counter::Truncated,
            Self::Malformed => Counter::Malformed,
            Self::LaterFragment => Counter::LaterFragment,
            Self::HeaderChain => Counter::HeaderChain,
            Self::Allowed => Counter::Allowed,
            Self::TableFull => Counter::TableFull,
            Self::Contended => Counter::Contended,
            Self::Undecided => Counter::Undecided,
        }
    }

    /// The reason's name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.counter().name()
    }
}

/// Bit of [`Outcome::code`] that marks a skipped packet.
const SKIPPED: u32 = 1 << 31;

impl Outcome {
    /// The counter that counts it.
    #[must_use]
    #[inline(always)]
    pub const fn counter(self) -> Counter {
        match self {
            Self::Judged(0) => Counter::Benign,
            Self::Judged(_) => Counter::Malicious,
            Self::Skipped(skip) => skip.counter(),
        }
    }

    /// Whether the packet is dropped under `config`: malicious and enforced, nothing else.
    #[must_use]
    #[inline(always)]
    pub const fn drops(self, config: &Config) -> bool {
        config.enforce != 0 && matches!(self, Self::Judged(1..))
    }

    /// The outcome as a number that crosses into a map.
    #[must_use]
    #[inline(always)]
    pub const fn code(self) -> u32 {
        match self {
            Self::Judged(class) => class as u32,
            Self::Skipped(skip) => SKIPPED | skip as u32,
        }
    }

    /// The outcome of a code, if it is one.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        if code & SKIPPED == 0 {
            return u16::try_from(code).ok().map(Self::Judged);
        }
        Skip::ALL.get((code ^ SKIPPED) as usize).copied().map(Self::Skipped)
    }
}
