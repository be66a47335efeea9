//! Interface -> what its frames begin with: an Ethernet header or, on tunnels and point-to-point links, the IP header.
//!
//! The hardware type (`ARPHRD`) says so. An interface that no hook can read so is rejected, and named. Not here: reading the frames.

use std::ffi::CStr;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::{fs, io};

use treeline_ebpf::Link;
use treeline_sim::engine::Hook;

/// An interface's hardware type, flags and driver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Device {
    hardware: u16,
    point_to_point: bool,
    /// What ethtool(8) shows; empty where the kernel does not say.
    driver: String,
}

/// Tunnels with a generic routing header: `ARPHRD_IPGRE`, `ARPHRD_IP6GRE`.
const GRE: [u16; 2] = [778, 823];

/// Drivers that are known to hand XDP the IP header first, with the first kernel that does. Others may leave a header of the interface below in front.
/// IP tunnels: <https://github.com/torvalds/linux/blob/v5.14/net/ipv4/ipip.c>, `skb_reset_mac_header`.
const XDP_DRIVERS: [(&str, (u32, u32)); 9] = [
    ("tun", (0, 0)),
    ("wireguard", (0, 0)),
    ("ppp", (0, 0)),
    ("ipip", (5, 14)),
    ("sit", (5, 14)),
    ("gre", (5, 14)),
    ("ip6gre", (5, 14)),
    ("ip6tnl", (5, 14)),
    ("bareudp", (5, 14)),
];

/// What the frames of `interface` begin with at `hook`.
pub fn of(interface: &str, hook: Hook) -> Result<Link, String> {
    let device = Device::read(interface).map_err(|error| format!("{interface}: its hardware type cannot be read: {error}"))?;
    // A kernel that does not say counts as old.
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    read(&device, hook, version(&release)).map_err(|reason| format!("{interface}: {reason}"))
}

/// The longest packet of `interface` in bytes, without its link header.
pub fn mtu(interface: &str) -> io::Result<u32> {
    let mut request = request(interface)?;
    ask(&UnixDatagram::unbound()?, libc::SIOCGIFMTU, &mut request)?;
    // SAFETY: the member that this request fills.
    Ok(unsafe { request.ifr_ifru.ifru_mtu }.unsigned_abs())
}

/// How packets are seen at an interface, for people, with what its frames begin with if that is not Ethernet's header.
pub fn told(link: Link, how: String) -> String {
    match link {
        Link::Ethernet => how,
        Link::Ip => format!("{how}, raw IP"),
    }
}

/// See [`of`]; what is wrong comes without the interface's name.
fn read(device: &Device, hook: Hook, version: (u32, u32)) -> Result<Link, String> {
    let Device { hardware, point_to_point, driver } = device;
    let (link, name) = described(*hardware);
    let named = || format!("hardware type {hardware} ({name})");
    match (link, hook) {
        (None, _) => Err(format!("its frames begin neither with an Ethernet header nor with the IP header: {}", named())),
        (Some(Link::Ethernet), _) => Ok(Link::Ethernet),
        // The helper that reads there finds the IP header wherever it is.
        (Some(Link::Ip), Hook::Tc) => Ok(Link::Ip),
        (Some(Link::Ip), _) if GRE.contains(hardware) && !point_to_point => Err(format!(
            "a tunnel without one remote end shows frames with their outer header at hook {}: {}; use --hook tc",
            hook.name(),
            named()
        )),
        (Some(Link::Ip), Hook::Socket) => Ok(Link::Ip),
        (Some(Link::Ip), Hook::Xdp) => {
            let known = XDP_DRIVERS.iter().any(|(known, since)| known == driver && version >= *since);
            let driver = if driver.is_empty() { "unknown" } else { driver };
            known.then_some(Link::Ip).ok_or_else(|| {
                format!("what XDP sees of its frames is not known for driver {driver} on this kernel: {}; use --hook tc", named())
            })
        }
    }
}

/// What frames of a hardware type begin with, and its name. Numbers: `include/uapi/linux/if_arp.h`.
fn described(hardware: u16) -> (Option<Link>, &'static str) {
    let (ethernet, ip) = (Some(Link::Ethernet), Some(Link::Ip));
    match hardware {
        1 => (ethernet, "Ethernet"),
        772 => (ethernet, "loopback"),
        256..=259 => (ip, "SLIP"),
        512 => (ip, "PPP"),
        519 => (ip, "raw IP"),
        768 => (ip, "IP tunnel"),
        769 => (ip, "IPv6 tunnel"),
        776 => (ip, "SIT tunnel"),
        778 => (ip, "GRE tunnel"),
        823 => (ip, "GRE tunnel over IPv6"),
        // `ARPHRD_NONE`.
        0xfffe => (ip, "no link header"),
        24 => (None, "IEEE 1394"),
        32 => (None, "InfiniBand"),
        280 => (None, "CAN"),
        513 => (None, "Cisco HDLC"),
        518 => (None, "raw HDLC"),
        770 => (None, "frame relay"),
        779 => (None, "PIM register"),
        801..=803 => (None, "IEEE 802.11"),
        804 | 805 => (None, "IEEE 802.15.4"),
        820 | 821 => (None, "Phonet"),
        824 => (None, "netlink monitor"),
        825 => (None, "6LoWPAN"),
        826 => (None, "vsock monitor"),
        _ => (None, "not known to treeline"),
    }
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

impl Device {
    /// Asks the kernel, in this network namespace: /sys may show another one's interfaces.
    fn read(interface: &str) -> io::Result<Self> {
        // Sockets of every family take these requests.
        let socket = UnixDatagram::unbound()?;
        let mut request = request(interface)?;
        ask(&socket, libc::SIOCGIFHWADDR, &mut request)?;
        // SAFETY: the member that this request fills.
        let hardware = unsafe { request.ifr_ifru.ifru_hwaddr.sa_family };
        ask(&socket, libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: as above.
        let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
        Ok(Self { hardware, point_to_point: flags & libc::IFF_POINTOPOINT != 0, driver: driver(&socket, interface).unwrap_or_default() })
    }
}

fn driver(socket: &UnixDatagram, interface: &str) -> io::Result<String> {
    /// `ETHTOOL_GDRVINFO`.
    const DRIVER: u32 = 3;
    /// `struct ethtool_drvinfo`: a command, then the driver's name in 32 bytes, then more.
    #[repr(C)]
    struct Info {
        command: u32,
        driver: [u8; 32],
        more: [u8; 160],
    }
    const { assert!(size_of::<Info>() == 196) };
    let mut info = Info { command: DRIVER, driver: [0; 32], more: [0; 160] };
    let mut request = request(interface)?;
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    ask(socket, libc::SIOCETHTOOL, &mut request)?;
    Ok(CStr::from_bytes_until_nul(&info.driver).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}

/// A request that names an interface.
fn request(interface: &str) -> io::Result<libc::ifreq> {
    // SAFETY: integers and pointers, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays 0.
    if interface.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *place = byte.cast_signed();
    }
    Ok(request)
}

fn ask(socket: &UnixDatagram, what: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: each of the four requests takes this struct; what it points to for `SIOCETHTOOL` outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), what as libc::Ioctl, std::ptr::from_mut(request)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: (u32, u32) = (6, 18);

    fn device(hardware: u16, point_to_point: bool, driver: &str) -> Device {
        Device { hardware, point_to_point, driver: driver.to_owned() }
    }

    #[test]
    fn ethernet_and_loopback_have_an_ethernet_header_and_tunnels_none() {
        for (hardware, link) in
            [(1, Link::Ethernet), (772, Link::Ethernet), (0xfffe, Link::Ip), (512, Link::Ip), (768, Link::Ip), (776, Link::Ip)]
        {
            for hook in [Hook::Tc, Hook::Socket] {
                assert_eq!(read(&device(hardware, true, ""), hook, NEW), Ok(link), "{hardware}");
            }
        }
    }

    #[test]
    fn what_begins_otherwise_is_rejected_by_type_and_name() {
        for hook in Hook::ALL {
            for (hardware, name) in
                [(280, "280 (CAN)"), (803, "803 (IEEE 802.11)"), (824, "824 (netlink monitor)"), (4242, "4242 (not known")]
            {
                let error = read(&device(hardware, false, "x"), hook, NEW).expect_err("rejected");
                assert!(error.contains(name), "{error}");
            }
        }
    }

    #[test]
    fn a_tunnel_with_many_ends_is_read_at_tc_alone() {
        for hardware in GRE {
            assert_eq!(read(&device(hardware, false, "gre"), Hook::Tc, NEW), Ok(Link::Ip));
            for hook in [Hook::Socket, Hook::Xdp] {
                assert!(read(&device(hardware, false, "gre"), hook, NEW).is_err_and(|error| error.contains("use --hook tc")));
                assert_eq!(read(&device(hardware, true, "gre"), hook, NEW), Ok(Link::Ip));
            }
        }
    }

    #[test]
    fn xdp_takes_only_drivers_whose_frames_are_known() {
        let xdp = |driver: &str, version| read(&device(0xfffe, true, driver), Hook::Xdp, version);
        assert_eq!(xdp("tun", (5, 10)), Ok(Link::Ip));
        assert_eq!(xdp("ipip", (5, 14)), Ok(Link::Ip));
        for (driver, kernel) in [("ipip", (5, 10)), ("xfrm", NEW), ("", NEW)] {
            assert!(xdp(driver, kernel).is_err_and(|error| error.contains("use --hook tc")), "{driver}");
        }
        assert_eq!(read(&device(1, false, "xfrm"), Hook::Xdp, NEW), Ok(Link::Ethernet));
    }

    #[test]
    fn a_release_gives_its_first_two_numbers() {
        assert_eq!(["6.18.0-rc1+", "5.14-cloud", "7"].map(version), [(6, 18), (5, 14), (7, 0)]);
    }

    #[test]
    fn loopback_is_read_from_the_kernel() {
        assert_eq!(of("lo", Hook::Tc), Ok(Link::Ethernet));
        assert!(of("a-name-that-is-too-long", Hook::Tc).is_err());
    }
}
