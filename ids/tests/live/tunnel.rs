//! Interfaces without an Ethernet header: tun devices, alone and beside a wire, through every hook and engine.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use serde_json::Value;

use crate::lab::{BAD, GOOD, IN, Lab, Result, equal, eventually, holds, ip, lines, raw, received, text, within};

/// The tunnel's interface where treeline runs.
const TUNNEL: &str = "t0";
/// Its addresses.
const INSIDE: &str = "198.18.7.2";
const INSIDE_V6: [u16; 8] = [0x2001, 0xdb8, 0, 0, 0, 0x1000, BAD, 8];
/// As the source of a packet to [`INSIDE_V6`], read behind an Ethernet header that is not there: an `EtherType`, then an IPv4 header whose
/// UDP goes to [`BAD`].
const LOOKALIKE: [u16; 8] = [0x2001, 0xdb8, 0x0800, 0x4500, 0x40, 0, 0, 0x4011];

/// A tun device in the receiver's namespace. What is written comes in there, and what goes out there can be read.
struct Tunnel(File);

impl Tunnel {
    /// One with addresses, up, whose hardware type is changed first if there is another one.
    fn new(lab: &Lab, hardware: Option<u64>) -> Result<Self> {
        let there = &lab.there;
        let device = within(there, move || -> std::io::Result<File> {
            let device = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
            // SAFETY: integers and pointers, for which zeros are valid.
            let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
            for (place, byte) in request.ifr_name.iter_mut().zip(TUNNEL.bytes()) {
                *place = byte.cast_signed();
            }
            request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
            // SAFETY: the request's own struct, which outlives the call.
            let mut result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
            if let (0, Some(hardware)) = (result, hardware) {
                // SAFETY: takes a number.
                result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETLINK, hardware) };
            }
            if result == 0 { Ok(device) } else { Err(std::io::Error::last_os_error()) }
        })??;
        if hardware.is_none() {
            ip(&format!("-n {there} link set {TUNNEL} addrgenmode none"))?;
            ip(&format!("-n {there} addr add {INSIDE}/24 dev {TUNNEL}"))?;
            ip(&format!("-n {there} addr add {}/64 dev {TUNNEL} nodad", Ipv6Addr::from(INSIDE_V6)))?;
            ip(&format!("-n {there} link set {TUNNEL} up"))?;
            ip(&format!("-n {there} route add 2001:db8::/32 dev {TUNNEL}"))?;
        }
        Ok(Self(device))
    }

    fn write(&self, packet: &[u8]) -> Result {
        let written = (&self.0).write(packet)?;
        equal("bytes that the tunnel took", written, packet.len())
    }

    /// The packets that wait.
    fn read(&self) -> Vec<Vec<u8>> {
        let mut bytes = [0; 2048];
        let mut packets = vec![];
        while let Ok(length) = (&self.0).read(&mut bytes) {
            packets.push(bytes[..length].to_vec());
        }
        packets
    }
}

/// The options that choose a hook or an engine by its name, for what comes in.
fn incoming(engine: &str) -> [&str; 4] {
    let option = if engine.starts_with("user") { "--engine" } else { "--hook" };
    [option, engine, "--direction", "ingress"]
}

fn ipv4(source: [u8; 4], destination: [u8; 4], port: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend(source);
    packet.extend(destination);
    let sum: u32 = packet.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(4096_u16.to_be_bytes());
    packet.extend(port.to_be_bytes());
    // Without a checksum of UDP, which IPv4 permits.
    packet.extend([0, 9, 0, 0, b'x']);
    packet
}

fn ipv6(source: [u16; 8], port: u16) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 9, 17, 64];
    let ends = [source, INSIDE_V6].concat();
    packet.extend(ends.iter().flat_map(|word| word.to_be_bytes()));
    let datagram = [4096, port, 9];
    let sum: u32 = ends.iter().chain(&datagram).map(|word| u32::from(*word)).sum::<u32>() + 9 + 17 + (u32::from(b'x') << 8);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet.extend(datagram.iter().flat_map(|word| word.to_be_bytes()));
    packet.extend(sum.to_be_bytes());
    packet.push(b'x');
    packet
}

/// Three packets of each flow, and what is not whole.
fn packets() -> Vec<Vec<u8>> {
    let inside = [198, 18, 7, 2];
    let mut packets = vec![];
    for port in [BAD, GOOD] {
        for host in [9, 10] {
            packets.push(ipv4([198, 18, 7, host], inside, port));
        }
        packets.push(ipv6(LOOKALIKE, port));
        packets.push(ipv6([0x2001, 0xdb8, 0, 0, 0, 0, 0, port], port));
    }
    let mut fragment = ipv4([198, 18, 7, 9], inside, BAD);
    fragment[7] = 1;
    let cut = ipv4([198, 18, 7, 9], inside, BAD)[..19].to_vec();
    let mut short = ipv4([198, 18, 7, 9], inside, BAD);
    short[3] = 12;
    packets.extend([fragment, cut, short]);
    [packets.clone(), packets.clone(), packets].concat()
}

/// What came in over a tunnel, and the same packets from a capture of raw IP.
pub fn capture(lab: &Lab, engine: &str) -> Result {
    let tunnel = Tunnel::new(lab, None)?;
    let instance = lab.run(&[&["--iface", TUNNEL][..], &incoming(engine)].concat())?;
    let packets = packets();
    for packet in &packets {
        tunnel.write(packet)?;
    }
    eventually("all packets are seen", || Ok(lab.status()?["packets"].as_u64() == Some(packets.len() as u64)))?;
    let live = lab.status()?;
    let places = live["interfaces"][0]["attached"].as_str().unwrap_or_default().to_owned();
    holds("the status says how frames begin", places.ends_with("raw IP"), &places)?;
    let path = lab.path("tunnel.pcap");
    fs::write(&path, pcap(&packets))?;
    let model = lab.model()?;
    let output =
        lab.within(env!("CARGO_BIN_EXE_treeline")).args(["replay", text(&path), "--model", text(&model), "--format", "json"]).output()?;
    let replayed: Value = serde_json::from_slice(&output.stdout)?;
    let counted = |name: &str| replayed["counters"][name].as_u64();
    equal("malicious", live["malicious"].as_u64(), counted("malicious"))?;
    equal("malicious packets by hand", live["malicious"].as_u64(), Some(3 * 4))?;
    equal("benign", live["verdicts"]["benign"].as_u64(), counted("benign"))?;
    equal("flows", live["flows"]["opened"].as_u64(), counted("flows-opened"))?;
    for (reason, count) in live["skips"].as_object().into_iter().flatten() {
        equal(reason, count.as_u64(), counted(reason))?;
    }
    let bytes: usize = packets.iter().map(Vec::len).sum();
    equal("bytes", live["bytes"].as_u64(), Some(bytes as u64))?;
    let ended = instance.stop()?;
    let alerts = lines(&lab.alerts())?;
    let sources: BTreeSet<_> = alerts.iter().filter_map(|alert| alert["src_ip"].as_str().map(str::to_owned)).collect();
    let expected = ["198.18.7.9", "198.18.7.10", "2001:db8::270f", "2001:db8:800:4500:40::4011"].map(str::to_owned);
    equal("sources of alerts", sources, expected.into())?;
    holds("they name the tunnel", alerts.iter().all(|alert| alert["in_iface"] == TUNNEL), &alerts)?;
    equal("exit code", ended.code, Some(0))
}

/// A capture of raw IP.
fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![];
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        bytes.extend(word.to_le_bytes());
    }
    for (packet, time_us) in packets.iter().zip(0_u32..) {
        for word in [1_700_000_000, time_us, packet.len() as u32, packet.len() as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(packet);
    }
    bytes
}

/// The same flow over a wire and over a tunnel, before and after a swap.
pub fn both(lab: &Lab, engine: &str) -> Result {
    let tunnel = Tunnel::new(lab, None)?;
    let instance = lab.run(&[&["--iface", IN, "--iface", TUNNEL][..], &incoming(engine)].concat())?;
    let send = raw(lab, c"v0")?;
    let packet = ipv4([198, 18, 7, 9], [198, 18, 7, 2], BAD);
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 0x08, 0x00]);
    frame.extend(&packet);
    let seen = |count: u64| eventually("all packets are seen", || Ok(lab.status()?["packets"].as_u64() == Some(count)));
    tunnel.write(&packet)?;
    seen(1)?;
    send(&frame)?;
    seen(2)?;
    equal("malicious", lab.status()?["malicious"].as_u64(), Some(2))?;
    let swapped = lab.treeline(&["swap", text(&lab.constant(0)?)])?;
    holds("the swap succeeds", swapped.status.success(), &swapped)?;
    send(&frame)?;
    seen(3)?;
    tunnel.write(&packet)?;
    seen(4)?;
    equal("malicious", lab.status()?["malicious"].as_u64(), Some(2))?;
    let flows = lab.json(&["flows"])?;
    let packets: Vec<_> = flows.as_array().into_iter().flatten().filter_map(|flow| flow["packets"].as_u64()).collect();
    equal("packets of the flow", packets, vec![4])?;
    ip(&format!("-n {} link del {TUNNEL}", lab.there))?;
    eventually("the tunnel is missed", || Ok(instance.errors().contains("interface t0 is gone")))?;
    send(&frame)?;
    seen(5)?;
    equal("exit code", instance.stop()?.code, Some(0))?;
    let alerts = lines(&lab.alerts())?;
    equal("alerts", alerts.iter().map(|alert| alert["in_iface"].as_str()).collect::<Vec<_>>(), vec![Some(TUNNEL)])
}

/// Of what comes in over a tunnel the malicious packets are dropped, and those that would look malicious behind an Ethernet header are not.
pub fn enforce(lab: &Lab, hook: &str) -> Result {
    let tunnel = Tunnel::new(lab, None)?;
    let receivers = [BAD, GOOD].map(|port| -> Result<_> { Ok([Lab::udp(&lab.there, port)?, udp_v6(&lab.there, port)?]) });
    let [bad, good] = receivers;
    let (bad, good) = (bad?, good?);
    let instance = lab.run(&["--iface", TUNNEL, "--hook", hook, "--mode", "enforce"])?;
    for packet in packets() {
        tunnel.write(&packet)?;
    }
    equal("malicious datagrams that arrive", bad.each_ref().map(|socket| received(socket).len()), [0, 0])?;
    equal("benign datagrams that arrive", good.each_ref().map(|socket| received(socket).len()), [6, 6])?;
    let mut dropped = 12;
    if hook == "tc" {
        tunnel.read();
        for port in [BAD, GOOD] {
            Lab::udp(&lab.there, 0)?.send_to(b"out", ("198.18.7.9", port)).or_else(|error| if port == BAD { Ok(0) } else { Err(error) })?;
        }
        let out = tunnel.read();
        equal("ports of what goes out", out.iter().map(|packet| packet[22..24].to_vec()).collect(), vec![GOOD.to_be_bytes().to_vec()])?;
        dropped += 1;
    }
    let ended = instance.stop()?;
    equal("dropped", ended.summary["dropped"].as_u64(), Some(dropped))
}

fn udp_v6(namespace: &str, port: u16) -> Result<UdpSocket> {
    let socket = within(namespace, move || UdpSocket::bind((Ipv6Addr::from(INSIDE_V6), port)))??;
    socket.set_read_timeout(Some(std::time::Duration::from_millis(300)))?;
    Ok(socket)
}

/// An interface whose frames begin with neither header.
pub fn rejected(lab: &Lab) -> Result {
    const RADIO: u64 = 803;
    let _tunnel = Tunnel::new(lab, Some(RADIO))?;
    let model = lab.model()?;
    for engine in ["tc", "xdp", "socket", "user-recv", "user-ring"] {
        let option = if engine.starts_with("user") { "--engine" } else { "--hook" };
        let output =
            lab.treeline(&["run", "--iface", IN, "--iface", TUNNEL, option, engine, "--duration", "1", "--model", text(&model)])?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let said = errors.contains("t0: ") && errors.contains("hardware type 803 (IEEE 802.11)");
        holds("it is rejected and named", output.status.code() == Some(2) && said, &errors)?;
    }
    equal("attached", lab.attached()?, vec![])
}
