//! Return values, as the kernel's headers have them.

/// What an XDP program returns (`include/uapi/linux/bpf.h`).
///
/// ```
/// assert_eq!((treeline_lab::xdp::DROP, treeline_lab::xdp::PASS), (1, 2));
/// ```
pub mod xdp {
    /// `XDP_ABORTED`
    pub const ABORTED: u32 = 0;
    /// `XDP_DROP`
    pub const DROP: u32 = 1;
    /// `XDP_PASS`
    pub const PASS: u32 = 2;
    /// `XDP_TX`
    pub const TX: u32 = 3;
    /// `XDP_REDIRECT`
    pub const REDIRECT: u32 = 4;
}

/// What a TC classifier returns (`include/uapi/linux/pkt_cls.h`).
///
/// ```
/// assert_eq!((treeline_lab::tc::OK, treeline_lab::tc::SHOT), (0, 2));
/// ```
pub mod tc {
    /// `TC_ACT_UNSPEC`, of tcx `TCX_NEXT`
    pub const UNSPEC: u32 = u32::MAX;
    /// `TC_ACT_OK`, of tcx `TCX_PASS`
    pub const OK: u32 = 0;
    /// `TC_ACT_RECLASSIFY`
    pub const RECLASSIFY: u32 = 1;
    /// `TC_ACT_SHOT`, of tcx `TCX_DROP`
    pub const SHOT: u32 = 2;
    /// `TC_ACT_PIPE`
    pub const PIPE: u32 = 3;
    /// `TC_ACT_STOLEN`
    pub const STOLEN: u32 = 4;
    /// `TC_ACT_REDIRECT`, of tcx `TCX_REDIRECT`
    pub const REDIRECT: u32 = 7;
}

#[cfg(test)]
mod tests {
    use crate::bpf::Hook;
    use crate::lab::verdict::parse;

    #[test]
    fn the_constants_are_what_the_names_stand_for() {
        for (name, value) in [("ABORTED", super::xdp::ABORTED), ("DROP", super::xdp::DROP), ("PASS", super::xdp::PASS)] {
            assert_eq!(parse(Hook::Xdp, &format!("XDP_{name}")), Ok(value));
        }
        for (name, value) in [("TX", super::xdp::TX), ("REDIRECT", super::xdp::REDIRECT)] {
            assert_eq!(parse(Hook::Xdp, &format!("XDP_{name}")), Ok(value));
        }
        for (name, value) in [("UNSPEC", super::tc::UNSPEC), ("OK", super::tc::OK), ("RECLASSIFY", super::tc::RECLASSIFY)] {
            assert_eq!(parse(Hook::Tc, &format!("TC_ACT_{name}")), Ok(value));
        }
        for (name, value) in
            [("SHOT", super::tc::SHOT), ("PIPE", super::tc::PIPE), ("STOLEN", super::tc::STOLEN), ("REDIRECT", super::tc::REDIRECT)]
        {
            assert_eq!(parse(Hook::Tc, &format!("TC_ACT_{name}")), Ok(value));
        }
    }
}
