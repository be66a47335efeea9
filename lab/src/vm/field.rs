//! The context's fields: what of it a program may load and store, as the kernel's verifier says (`net/core/filter.c`, v6.18).

use crate::bpf::Hook;

/// How a field may be touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    /// Whole.
    Whole,
    /// Loaded in any aligned part, stored whole.
    Narrow,
    /// Loaded and stored in any aligned part.
    Free,
}

/// One field.
#[derive(Debug)]
struct Field {
    name: &'static str,
    offset: i32,
    length: i32,
    width: Width,
    /// Socket filters have it too, not only TC programs.
    is_everywhere: bool,
    /// TC programs store it.
    is_stored: bool,
}

const fn field(name: &'static str, offset: i32, length: i32, width: Width, is_everywhere: bool, is_stored: bool) -> Field {
    Field { name, offset, length, width, is_everywhere, is_stored }
}

use Width::{Free, Narrow, Whole};

const XDP: [Field; 5] = [
    field("data", 0, 4, Whole, true, false),
    field("data_end", 4, 4, Whole, true, false),
    field("data_meta", 8, 4, Whole, true, false),
    field("ingress_ifindex", 12, 4, Whole, true, false),
    field("rx_queue_index", 16, 4, Whole, true, false),
];

#[rustfmt::skip]
const SKB: [Field; 25] = [
    field("len", 0, 4, Narrow, true, false),
    field("pkt_type", 4, 4, Narrow, true, false),
    field("mark", 8, 4, Narrow, true, true),
    field("queue_mapping", 12, 4, Narrow, true, true),
    field("protocol", 16, 4, Narrow, true, false),
    field("vlan_present", 20, 4, Narrow, true, false),
    field("vlan_tci", 24, 4, Narrow, true, false),
    field("vlan_proto", 28, 4, Narrow, true, false),
    field("priority", 32, 4, Narrow, true, true),
    field("ingress_ifindex", 36, 4, Narrow, true, false),
    field("ifindex", 40, 4, Narrow, true, false),
    field("tc_index", 44, 4, Narrow, true, true),
    field("cb", 48, 20, Free, true, true),
    field("hash", 68, 4, Narrow, true, false),
    field("tc_classid", 72, 4, Narrow, false, true),
    field("data", 76, 4, Whole, false, false),
    field("data_end", 80, 4, Whole, false, false),
    field("napi_id", 84, 4, Narrow, true, false),
    field("data_meta", 140, 4, Whole, false, false),
    field("tstamp", 152, 8, Whole, false, true),
    field("wire_len", 160, 4, Narrow, false, false),
    field("gso_segs", 164, 4, Narrow, true, false),
    field("gso_size", 176, 4, Narrow, true, false),
    field("tstamp_type", 180, 1, Whole, false, false),
    field("hwtstamp", 184, 8, Whole, false, false),
];

/// How a store to the context is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    /// As it is.
    Plain,
    /// Only its lower 16 bits: the kernel's field is narrower than the context's.
    Half,
    /// The same, and not at all if the value does not fit.
    HalfIfItFits,
}

/// Whether a program may load so many bytes of the context, with their sign or without; otherwise why not.
pub(super) fn load(hook: Hook, offset: i32, size: i32, is_signed: bool) -> Result<(), String> {
    if matches!(hook, Hook::Tc | Hook::Socket) && (168..176).contains(&offset) {
        return Err("the VM has no sockets (sk)".to_owned());
    }
    let field = find(hook, offset).ok_or_else(|| format!("the kernel gives {hook:?} programs nothing at {offset} of the context"))?;
    if is_signed && field.name.starts_with("data") {
        return Err(format!("addresses are not loaded with their sign ({})", field.name));
    }
    let is_part = field.width != Whole && field.has(offset, size);
    if is_part || (offset == field.offset && size == field.length) {
        return Ok(());
    }
    Err(format!("the kernel does not let {hook:?} programs load {size} bytes at {offset} of the context ({})", field.name))
}

/// Whether a load of a field's upper half gives the lower one: where the kernel's own field has two bytes, a load of two is that field,
/// whichever half was asked for (`convert_ctx_accesses`).
pub(super) fn is_lower_half(hook: Hook, offset: i32, size: i32) -> bool {
    let field = if hook == Hook::Xdp { None } else { find(hook, offset) };
    let is_short = |field: &Field| matches!(field.name, "queue_mapping" | "protocol" | "vlan_tci" | "vlan_proto" | "tc_index");
    size == 2 && field.is_some_and(|field| is_short(field) && offset == field.offset + 2)
}

/// How a program stores so many bytes to the context, if it may.
pub(super) fn store(hook: Hook, offset: i32, size: i32) -> Result<Store, String> {
    let field = find(hook, offset).filter(|field| hook == Hook::Tc && field.is_stored || hook == Hook::Socket && field.width == Free);
    let allowed = field.filter(|field| match field.width {
        Free => field.has(offset, size),
        Whole | Narrow => offset == field.offset && size == field.length,
    });
    match allowed.map(|field| field.name) {
        None => Err(format!("the kernel does not let {hook:?} programs store {size} bytes at {offset} of the context")),
        Some("tc_index" | "tc_classid") => Ok(Store::Half),
        Some("queue_mapping") => Ok(Store::HalfIfItFits),
        Some(_) => Ok(Store::Plain),
    }
}

fn find(hook: Hook, offset: i32) -> Option<&'static Field> {
    let fields: &[Field] = if hook == Hook::Xdp { &XDP } else { &SKB };
    let found = fields.iter().find(|field| (field.offset..field.offset + field.length).contains(&offset));
    found.filter(|field| field.is_everywhere || hook != Hook::Socket)
}

impl Field {
    /// Whether it has such a part.
    fn has(&self, offset: i32, size: i32) -> bool {
        let widest = if self.width == Free { 8 } else { 4 };
        size <= widest && offset % size == 0 && offset + size <= self.offset + self.length
    }
}
