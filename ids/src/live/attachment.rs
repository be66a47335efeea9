//! A program on one interface: attached, given another program in one step, detached.
//!
//! Links detach when the process ends, however it ends, unless they are pinned. Two ways have no link: clsact, before Linux 6.6, where a killed
//! process leaves its filter in place; and a raw socket, which carries its filter and closes with the process.

use std::os::fd::OwnedFd;
use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError};
use aya::programs::xdp::XdpLink;
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, SocketFilter, TcAttachType, Xdp, XdpMode};
use treeline_lab::cause::explain;

use super::interface::Direction;
use super::{link, raw};

/// What holds a program in its place.
#[derive(Debug)]
pub enum Hold {
    /// XDP.
    Xdp(XdpLink),
    /// Traffic control.
    Tc(SchedClassifierLink),
    /// A raw socket.
    Socket(OwnedFd),
}

/// A program that can be attached; loaded already.
#[derive(Debug)]
pub enum Loaded<'a> {
    /// For XDP.
    Xdp(&'a mut Xdp),
    /// For traffic control.
    Tc(&'a mut SchedClassifier),
    /// For raw sockets.
    Socket(&'a mut SocketFilter),
}

/// How to attach.
#[derive(Debug, Clone, Copy)]
pub struct AttachOptions {
    /// Which packets.
    pub direction: Direction,
    /// clsact even where tcx is there.
    pub clsact: bool,
}

/// How it was done: the holds, each with the name under which it is pinned if it is and whether it was before, and a word for people.
#[derive(Debug)]
pub struct Attached {
    /// At most two.
    pub holds: Vec<(String, Hold, bool)>,
    /// `native xdp`, `tcx ingress+egress`.
    pub how: String,
    /// What is worth telling.
    pub notice: Option<String>,
}

/// Puts `program` on `interface`. `adopt` gives the link that was pinned under a name, if one was.
pub fn attach(
    program: &mut Loaded<'_>,
    interface: &str,
    options: AttachOptions,
    adopt: impl Fn(&str) -> Option<FdLink>,
) -> Result<Attached, String> {
    match program {
        Loaded::Xdp(program) => xdp(program, interface, &adopt),
        Loaded::Tc(program) => traffic_control(program, interface, options, &adopt),
        Loaded::Socket(program) => socket(program, interface, options.direction),
    }
}

fn xdp(program: &mut Xdp, interface: &str, adopt: &impl Fn(&str) -> Option<FdLink>) -> Result<Attached, String> {
    let name = format!("{interface}-xdp");
    if let Some(link) = adopt(&name) {
        let update = |link: FdLink, program: &mut Xdp| -> Result<XdpLink, String> {
            let link = XdpLink::try_from(link).map_err(|error| explain(&error))?;
            let id = program.attach_to_link(link).map_err(|error| explain(&error))?;
            program.take_link(id).map_err(|error| explain(&error))
        };
        // A link whose interface is gone takes no program; a new one is made then.
        if let Ok(link) = update(link, program) {
            return Ok(Attached { holds: vec![(name, Hold::Xdp(link), true)], how: "xdp, adopted".to_owned(), notice: None });
        }
    }
    let mut notice = None;
    let mut how = "native xdp";
    let id = match program.attach(interface, XdpMode::Driver) {
        Ok(id) => id,
        Err(error) if is_final(&error) => return Err(refused(interface, "xdp", &error)),
        Err(error) => {
            let mtu = link::mtu(interface).map_err(|error| format!("{interface}: its MTU cannot be read: {error}"))?;
            notice = Some(format!("{interface}: no native XDP at MTU {mtu} ({}); generic XDP is used, which is slower", explain(&error)));
            how = "generic xdp";
            program.attach(interface, XdpMode::Skb).map_err(|error| refused(interface, "xdp", &error))?
        }
    };
    let link = program.take_link(id).map_err(|error| explain(&error))?;
    Ok(Attached { holds: vec![(name, Hold::Xdp(link), false)], how: how.to_owned(), notice })
}

/// Whether trying the generic mode would be of no use.
fn is_final(error: &ProgramError) -> bool {
    match error {
        ProgramError::SyscallError(error) => {
            matches!(error.io_error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST | libc::EPERM | libc::ENODEV))
        }
        ProgramError::UnknownInterface { .. } => true,
        _ => false,
    }
}

fn refused(interface: &str, hook: &str, error: &ProgramError) -> String {
    let errno = if let ProgramError::SyscallError(error) = error { error.io_error.raw_os_error() } else { None };
    match errno {
        Some(libc::EBUSY | libc::EEXIST) => {
            format!(
                "{interface}: another program is attached at hook {hook} (ip link show {interface}, bpftool net); detach it first, or use --hook tc"
            )
        }
        _ => format!("{interface}: cannot attach at hook {hook}: {}", explain(error)),
    }
}

fn traffic_control(
    program: &mut SchedClassifier,
    interface: &str,
    options: AttachOptions,
    adopt: &impl Fn(&str) -> Option<FdLink>,
) -> Result<Attached, String> {
    let mut holds = vec![];
    let mut clsact = options.clsact;
    let mut adopted = false;
    for &(side, side_name) in sides(options.direction) {
        let name = format!("{interface}-tc-{side_name}");
        if let Some(link) = adopt(&name).and_then(|link| SchedClassifierLink::try_from(link).ok())
            && let Ok(id) = program.attach_to_link(link)
        {
            adopted = true;
            holds.push((name, Hold::Tc(program.take_link(id).map_err(|error| explain(&error))?), true));
            continue;
        }
        if !clsact {
            // First, so that a verdict of another program does not hide packets from this one.
            match program.attach_with_options(interface, side, TcAttachOptions::TcxOrder(LinkOrder::first())) {
                Ok(id) => {
                    holds.push((name, Hold::Tc(program.take_link(id).map_err(|error| explain(&error))?), false));
                    continue;
                }
                Err(ProgramError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EINVAL) => clsact = true,
                Err(error) => return Err(refused(interface, "tc", &error)),
            }
        }
        match tc::qdisc_add_clsact(interface) {
            Err(TcError::NetlinkError(error)) if error.raw_os_error() != Some(libc::EEXIST) => {
                return Err(format!("{interface}: no clsact queueing discipline: {}", explain(&error)));
            }
            Err(TcError::IoError(error)) => return Err(format!("{interface}: {error}")),
            _ => {}
        }
        let id = program
            .attach_with_options(interface, side, TcAttachOptions::Netlink(NlOptions { priority: 1, ..NlOptions::default() }))
            .map_err(|error| refused(interface, "tc", &error))?;
        holds.push((name, Hold::Tc(program.take_link(id).map_err(|error| explain(&error))?), false));
    }
    let sides: Vec<_> = sides(options.direction).iter().map(|(_, name)| *name).collect();
    let way = if clsact { "clsact" } else { "tcx" };
    let notice = clsact.then(|| {
        format!(
            "{interface}: attached by clsact, which has no links: if the process is killed its filters stay (treeline detach removes them)"
        )
    });
    Ok(Attached { holds, how: format!("{way} {}{}", sides.join("+"), if adopted { ", adopted" } else { "" }), notice })
}

/// A raw socket whose filter is the program. The filter keeps each packet for the socket, and nobody reads there: with the smallest buffer the
/// kernel grants, a few packets fill it, and from then on it makes no more copies. The filter runs before that is looked at, so it sees every packet.
fn socket(program: &SocketFilter, interface: &str, direction: Direction) -> Result<Attached, String> {
    let socket = raw::open(interface, direction)?;
    program.attach(&socket).map_err(|error| format!("{interface}: {}", explain(&error)))?;
    raw::set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &0_i32).map_err(|error| format!("{interface}: receive buffer: {error}"))?;
    raw::bind(&socket, interface)?;
    let how = if direction == Direction::Ingress { "raw socket, ingress" } else { "raw socket, ingress+egress" };
    Ok(Attached { holds: vec![(String::new(), Hold::Socket(socket), false)], how: how.to_owned(), notice: None })
}

impl Hold {
    /// Has `program` take the old one's place. No packet passes between them unclassified.
    pub fn replace(self, program: &mut Loaded<'_>) -> Result<Self, String> {
        let say = |error: &ProgramError| explain(error);
        match (self, program) {
            (Self::Xdp(link), Loaded::Xdp(program)) => {
                let id = program.attach_to_link(link).map_err(|error| say(&error))?;
                program.take_link(id).map(Self::Xdp).map_err(|error| say(&error))
            }
            (Self::Tc(link), Loaded::Tc(program)) => {
                let id = program.attach_to_link(link).map_err(|error| say(&error))?;
                program.take_link(id).map(Self::Tc).map_err(|error| say(&error))
            }
            (Self::Socket(socket), Loaded::Socket(program)) => {
                program.attach(&socket).map_err(|error| say(&error))?;
                Ok(Self::Socket(socket))
            }
            (_, program) => Err(format!("{program:?} is for another hook")),
        }
    }

    /// Pins the link at `path`, so that it outlives the process. A link that is there belongs to an interface that is gone.
    pub fn pin(self, path: &Path) -> Result<Self, String> {
        let _ = std::fs::remove_file(path);
        let pinned = |link: FdLink| -> Result<FdLink, String> {
            let pinned: PinnedLink = link.pin(path).map_err(|error| format!("{}: {}", path.display(), explain(&error)))?;
            Ok(pinned.into())
        };
        let unlinked = |error: &dyn std::error::Error| format!("{}: it cannot be pinned: {}", path.display(), explain(error));
        match self {
            Self::Xdp(link) => {
                let link = pinned(FdLink::try_from(link).map_err(|error| unlinked(&error))?)?;
                XdpLink::try_from(link).map(Self::Xdp).map_err(|error| unlinked(&error))
            }
            Self::Tc(link) => {
                let link = pinned(FdLink::try_from(link).map_err(|error| unlinked(&error))?)?;
                SchedClassifierLink::try_from(link).map(Self::Tc).map_err(|error| unlinked(&error))
            }
            Self::Socket(_) => Err("a socket cannot be pinned".to_owned()),
        }
    }
}

/// The hooks of traffic control for a direction, each with its name.
fn sides(direction: Direction) -> &'static [(TcAttachType, &'static str)] {
    const SIDES: [(TcAttachType, &str); 2] = [(TcAttachType::Ingress, "ingress"), (TcAttachType::Egress, "egress")];
    match direction {
        Direction::Both => &SIDES,
        Direction::Ingress => &SIDES[..1],
        Direction::Egress => &SIDES[1..],
    }
}
