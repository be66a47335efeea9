//! What a program is to the kernel, by the name of its section as libbpf, iproute2 and aya name sections.

use super::Hook;

/// Program type and expected attach type, in Linux's numbers (`include/uapi/linux/bpf.h`, v6.18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Kind {
    /// `enum bpf_prog_type`
    pub program: u32,
    /// `enum bpf_attach_type`; 0 where the type has none.
    pub attach: u32,
    /// Flags of the load: `BPF_F_XDP_HAS_FRAGS`.
    pub flags: u32,
}

const SOCKET_FILTER: u32 = 1;
const SCHED_CLS: u32 = 3;
const SCHED_ACT: u32 = 4;
const XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// Flag of the load: `BPF_F_XDP_HAS_FRAGS`.
pub(crate) const XDP_HAS_FRAGS: u32 = 1 << 5;

/// Section names, the part before a `/` or the whole; the longest that fits counts.
const SECTIONS: [(&str, u32, u32); 58] = [
    ("socket", SOCKET_FILTER, 0),
    ("kprobe", 2, 0),
    ("kretprobe", 2, 0),
    ("uprobe", 2, 0),
    ("uretprobe", 2, 0),
    ("ksyscall", 2, 0),
    ("tc", SCHED_CLS, 0),
    ("tcx/ingress", SCHED_CLS, 46),
    ("tcx/egress", SCHED_CLS, 47),
    ("netkit/primary", SCHED_CLS, 54),
    ("netkit/peer", SCHED_CLS, 55),
    ("classifier", SCHED_CLS, 0),
    ("action", SCHED_ACT, 0),
    ("tracepoint", 5, 0),
    ("tp", 5, 0),
    ("xdp", XDP, ATTACH_XDP),
    ("xdp/devmap", XDP, 35),
    ("xdp/cpumap", XDP, 41),
    ("xdp_devmap", XDP, 35),
    ("xdp_cpumap", XDP, 41),
    ("perf_event", 7, 0),
    ("cgroup_skb/ingress", 8, 0),
    ("cgroup_skb/egress", 8, 1),
    ("cgroup/skb", 8, 0),
    ("cgroup/sock", 9, 2),
    ("cgroup/sock_create", 9, 2),
    ("cgroup/sock_release", 9, 34),
    ("cgroup/post_bind4", 9, 12),
    ("cgroup/post_bind6", 9, 13),
    ("lwt_in", 10, 0),
    ("lwt_out", 11, 0),
    ("lwt_xmit", 12, 0),
    ("sockops", 13, 3),
    ("sk_skb/stream_parser", 14, 4),
    ("sk_skb/stream_verdict", 14, 5),
    ("sk_skb", 14, 0),
    ("cgroup/dev", 15, 6),
    ("sk_msg", 16, 7),
    ("raw_tracepoint", 17, 0),
    ("raw_tp", 17, 0),
    ("cgroup/bind4", 18, 8),
    ("cgroup/bind6", 18, 9),
    ("cgroup/connect4", 18, 10),
    ("cgroup/connect6", 18, 11),
    ("cgroup/sendmsg4", 18, 14),
    ("cgroup/sendmsg6", 18, 15),
    ("cgroup/recvmsg4", 18, 19),
    ("cgroup/recvmsg6", 18, 20),
    ("lwt_seg6local", 19, 0),
    ("lirc_mode2", 20, 16),
    ("sk_reuseport/migrate", 21, 40),
    ("sk_reuseport", 21, 39),
    ("flow_dissector", 22, 17),
    ("cgroup/sysctl", 23, 18),
    ("cgroup/getsockopt", 25, 21),
    ("cgroup/setsockopt", 25, 22),
    ("sk_lookup", 30, 36),
    ("netfilter", 32, 45),
];

/// Sections whose programs want a kernel function to attach to when they are loaded.
const ATTACHED: [&str; 9] = ["fentry", "fexit", "fmod_ret", "freplace", "lsm", "lsm_cgroup", "iter", "tp_btf", "struct_ops"];

impl Kind {
    /// What a hook's programs are.
    #[must_use]
    pub fn of(hook: Hook) -> Self {
        let (program, attach) = match hook {
            Hook::Xdp => (XDP, ATTACH_XDP),
            Hook::Tc => (SCHED_CLS, 0),
            Hook::Socket => (SOCKET_FILTER, 0),
        };
        Self { program, attach, flags: 0 }
    }

    /// What the section's name says; `Err` has the reason for a section that says nothing.
    pub(super) fn from_section(section: &str) -> Result<Self, String> {
        let plain = section.replacen(".frags", "", 1);
        let plain = plain.strip_prefix('?').unwrap_or(&plain);
        let fits = |name: &str| {
            let rest = plain.strip_prefix(name);
            // `socket1`, `xdp_drop` and `classifier_in` are common in old sources, `tc` and `tp` too short to guess.
            rest.is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(['/', '+']) || name.len() > 2 && rest.starts_with(['_', '-']) || digits(rest)
            })
        };
        if let Some((program, attach)) =
            SECTIONS.iter().filter(|(name, ..)| fits(name)).max_by_key(|(name, ..)| name.len()).map(|row| (row.1, row.2))
        {
            let flags = if program == XDP && section.starts_with("xdp.frags") { XDP_HAS_FRAGS } else { 0 };
            return Ok(Self { program, attach, flags });
        }
        if is_attached(section) {
            return Err("programs of this section attach to a function of the kernel, which Treeline does not look up".to_owned());
        }
        Err("the section's name does not say what type the program has; name it with `--hook xdp`, `tc` or `socket`".to_owned())
    }

    /// Where the VM would run it.
    #[must_use]
    pub fn hook(self) -> Option<Hook> {
        match self.program {
            XDP => Some(Hook::Xdp),
            SCHED_CLS | SCHED_ACT => Some(Hook::Tc),
            SOCKET_FILTER => Some(Hook::Socket),
            _ => None,
        }
    }
}

/// Whether programs of a section attach to a function of the kernel when they are loaded: the name says what they are, and it is nothing here.
pub(super) fn is_attached(section: &str) -> bool {
    let plain = section.strip_prefix('?').unwrap_or(section);
    ATTACHED.contains(&plain.split(['/', '.', '+']).next().unwrap_or_default())
}

fn digits(rest: &str) -> bool {
    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
}
