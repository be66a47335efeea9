//! Packets of link types that are not supported: the reader leaves them out and counts them.

use std::collections::BTreeMap;

/// Packets of link types that are not supported, which a reader leaves out: how many of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsupported(BTreeMap<u32, u64>);

impl Unsupported {
    /// Counts a packet of a link type.
    pub fn add(&mut self, number: u32) {
        *self.0.entry(number).or_default() += 1;
    }

    /// Adds all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (number, count) in &other.0 {
            *self.0.entry(*number).or_default() += count;
        }
    }

    /// All of them.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// How many of each: number, what to call it, packets.
    pub fn iter(&self) -> impl Iterator<Item = (u32, String, u64)> {
        self.0.iter().map(|(&number, &count)| (number, called(number), count))
    }
}

/// A link type as messages call it: its number, and the registry's name for the more frequent ones.
pub(super) fn called(number: u32) -> String {
    let name = name(number).map(|name| format!(" ({name})"));
    format!("link type {number}{}", name.unwrap_or_default())
}

/// The registry's name of a link type that is not supported; `None` for the rare ones.
pub(super) fn name(number: u32) -> Option<&'static str> {
    Some(match number {
        6 => "IEEE802_5",
        7 => "ARCNET_BSD",
        8 => "SLIP",
        10 => "FDDI",
        100 => "ATM_RFC1483",
        105 => "IEEE802_11",
        107 => "FRELAY",
        117 => "PFLOG",
        119 => "IEEE802_11_PRISM",
        122 => "IP_OVER_FC",
        127 => "IEEE802_11_RADIOTAP",
        129 => "ARCNET_LINUX",
        138 => "APPLE_IP_OVER_IEEE1394",
        143 => "DOCSIS",
        147..=162 => "USER0 to USER15",
        163 => "IEEE802_11_AVS",
        187 => "BLUETOOTH_HCI_H4",
        189 => "USB_LINUX",
        192 => "PPI",
        195 => "IEEE802_15_4_WITHFCS",
        201 => "BLUETOOTH_HCI_H4_WITH_PHDR",
        206 => "FRELAY_WITH_DIR",
        220 => "USB_LINUX_MMAPPED",
        226 => "IPNET",
        227 => "CAN_SOCKETCAN",
        230 => "IEEE802_15_4_NOFCS",
        240 => "NETANALYZER",
        247 => "INFINIBAND",
        249 => "USBPCAP",
        251 => "BLUETOOTH_LE_LL",
        252 => "WIRESHARK_UPPER_PDU",
        253 => "NETLINK",
        254 => "BLUETOOTH_LINUX_MONITOR",
        256 => "BLUETOOTH_LE_LL_WITH_PHDR",
        258 => "PKTAP",
        271 => "VSOCK",
        281 => "DSA_TAG_BRCM",
        284 => "DSA_TAG_DSA",
        285 => "DSA_TAG_EDSA",
        _ => return None,
    })
}
