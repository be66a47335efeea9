//! What the kernel reports of interfaces and of traffic control's filters, asked over a netlink socket, and the removal of a filter.
//!
//! Not here: attaching ([`super::attachment`]).

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcHeader, TcMessage, TcOption};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// The sides of clsact: the minor number of the parent handle, and the name.
const SIDES: [(u16, &str); 2] = [(TcHandle::MIN_INGRESS, "ingress"), (TcHandle::MIN_EGRESS, "egress")];

/// A BPF program that is attached as a filter of clsact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Where the kernel finds it again.
    header: TcHeader,
    /// `ingress` or `egress`.
    pub side: &'static str,
    /// The name it was attached under.
    pub name: String,
    /// The program's id.
    pub program: u32,
    /// The program's tag: a digest of its instructions.
    pub tag: u64,
}

/// Index and name of each interface of this network namespace.
pub fn interfaces() -> io::Result<Vec<(u32, String)>> {
    let answers = ask(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_DUMP)?;
    let named = answers.into_iter().filter_map(|answer| {
        let RouteNetlinkMessage::NewLink(link) = answer else { return None };
        let name = link.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        });
        Some((link.header.index, name?))
    });
    Ok(named.collect())
}

/// The BPF filters of clsact on an interface, in the order in which packets meet them, side by side.
pub fn filters(interface: u32) -> io::Result<Vec<Filter>> {
    let mut found = vec![];
    for (minor, side) in SIDES {
        let parent = TcHandle { major: TcHandle::CLSACT.major, minor };
        let header = TcHeader { index: interface.cast_signed(), parent, ..TcHeader::default() };
        let answers = ask(RouteNetlinkMessage::GetTrafficFilter(TcMessage::from_parts(header, vec![])), NLM_F_DUMP)?;
        found.extend(answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewTrafficFilter(message) => filter(message, side),
            _ => None,
        }));
    }
    Ok(found)
}

/// Removes a filter that [`filters`] found.
pub fn remove(filter: &Filter) -> io::Result<()> {
    let message = TcMessage::from_parts(filter.header.clone(), vec![TcAttribute::Kind("bpf".to_owned())]);
    ask(RouteNetlinkMessage::DelTrafficFilter(message), NLM_F_ACK).map(|_| ())
}

/// The filter of a message; none if it holds no BPF program, or is the head of its priority.
fn filter(message: TcMessage, side: &'static str) -> Option<Filter> {
    let options = message.attributes.into_iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options),
        _ => None,
    })?;
    let mut found = Filter { header: message.header, side, name: String::new(), program: 0, tag: 0 };
    for option in options {
        match option {
            TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => found.name = name,
            TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => found.program = id,
            TcOption::Bpf(TcFilterBpfOption::ProgTag(tag)) => found.tag = u64::from_be_bytes(tag),
            _ => {}
        }
    }
    (found.program != 0).then_some(found)
}

/// Sends a request and collects the answers up to the last one.
fn ask(message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    let mut answers = vec![];
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
            // Messages are aligned to four bytes.
            let length = (answer.header.length as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
            match answer.payload {
                NetlinkPayload::Done(_) => return Ok(answers),
                NetlinkPayload::Error(error) => return error.code.map_or(Ok(answers), |_| Err(error.to_io())),
                NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                _ => {}
            }
        }
    }
}
