//! Alert -> JSON line, in Suricata's field names where it has them (EVE), so that what reads those reads these.
//!
//! Source and destination are the packet's that raised the alert. What Suricata has no name for is in the object `treeline`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use sha1::{Digest, Sha1};
use treeline_ebpf::alert::Alert;
use treeline_ebpf::flow::ORIGINATOR_LOW;
use treeline_ebpf::{Flow, Key, feature};
use treeline_sim::conversation::Conversation;

use super::community;

/// What an alert does not say by itself.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The interface's name.
    pub interface: &'a str,
    /// The name of the alert's class.
    pub class: &'a str,
    /// Whether the packet was dropped.
    pub blocked: bool,
    /// The time now on the wall's clock, and on the kernel's monotonic one, nanoseconds. Taken together for each alert: the wall's may step.
    pub wall: SystemTime,
    /// See `wall`.
    pub now_ns: u64,
}

/// The monotonic clock that the programs read, nanoseconds.
pub fn now_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// The record.
pub fn record(alert: &Alert, context: &Context<'_>) -> Value {
    let Conversation { originator, responder, protocol } = conversation(&alert.key, alert.originator_low != 0);
    let forward = alert.forward != 0;
    let (source, destination) = if forward { (originator, responder) } else { (responder, originator) };
    let mut record = Map::new();
    let mut put = |name: &str, value: Value| record.insert(name.to_owned(), value);
    put("timestamp", json!(timestamp(wall(alert.now_ns, context))));
    put("flow_id", json!(flow_id(&alert.key, alert.first_ns)));
    put("in_iface", json!(context.interface));
    put("event_type", json!("alert"));
    put("src_ip", json!(source.0));
    if has_ports(protocol) {
        put("src_port", json!(source.1));
    }
    put("dest_ip", json!(destination.0));
    if has_ports(protocol) {
        put("dest_port", json!(destination.1));
    }
    put("proto", json!(protocol_name(protocol)));
    if let Some(id) = community::id(protocol, source, destination) {
        put("community_id", json!(id));
    }
    put("direction", json!(if forward { "to_server" } else { "to_client" }));
    put("flow", json!({ "start": timestamp(wall(alert.first_ns, context)) }));
    put(
        "alert",
        json!({
            "action": if context.blocked { "blocked" } else { "allowed" },
            "signature": format!("Treeline: {}", context.class),
            "category": context.class,
            "severity": 2,
        }),
    );
    put("treeline", described(alert, context.class));
    Value::Object(record)
}

fn described(alert: &Alert, class: &str) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "the exact value stands beside it")]
    let features: Map<_, _> =
        feature::NAMES.iter().zip(alert.features).map(|((name, _), value)| ((*name).to_owned(), json!(value as f64 / 65536.0))).collect();
    json!({
        "class": class,
        "class_id": alert.class,
        "packet": alert.packet,
        "model": super::model::written(alert.model),
        "features": features,
        "features_fixed": alert.features,
    })
}

fn conversation(key: &Key, originator_low: bool) -> Conversation {
    Conversation::of(&Flow { flags: if originator_low { ORIGINATOR_LOW } else { 0 }, ..Flow::new(key) })
}

/// The flow's number: of key and first packet's time, so a key's later flow has another. 53 bits, which every JSON reader keeps.
pub fn flow_id(key: &Key, first_ns: u64) -> u64 {
    let mut sha1 = Sha1::new();
    for half in [key.low, key.high].concat() {
        sha1.update(half.to_be_bytes());
    }
    for port in [key.low_port, key.high_port] {
        sha1.update(port.to_be_bytes());
    }
    sha1.update([key.protocol, key.version]);
    sha1.update(first_ns.to_be_bytes());
    let bytes: [u8; 20] = sha1.finalize().into();
    bytes.first_chunk().map_or(0, |start| u64::from_be_bytes(*start) >> 11)
}

fn has_ports(protocol: u8) -> bool {
    matches!(protocol, treeline_ebpf::packet::TCP | treeline_ebpf::packet::UDP)
}

/// As Suricata writes them: the number, three digits wide, of one without a name.
fn protocol_name(protocol: u8) -> String {
    match protocol {
        1 => "ICMP".to_owned(),
        2 => "IGMP".to_owned(),
        6 => "TCP".to_owned(),
        17 => "UDP".to_owned(),
        47 => "GRE".to_owned(),
        50 => "ESP".to_owned(),
        58 => "IPv6-ICMP".to_owned(),
        132 => "SCTP".to_owned(),
        other => format!("{other:03}"),
    }
}

/// A time of the monotonic clock on the wall's.
fn wall(time_ns: u64, context: &Context<'_>) -> SystemTime {
    let ago = Duration::from_nanos(context.now_ns.saturating_sub(time_ns));
    context.wall.checked_sub(ago).unwrap_or(UNIX_EPOCH)
}

/// Suricata's form, in UTC.
pub fn timestamp(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(
        |_| "1970-01-01T00:00:00.000000+0000".to_owned(),
        |time| time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S%.6f%z").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert() -> Alert {
        let (key, from_low) = Key::new(4, 17, ([0, 0xc612_0002], 40_000), ([0, 0xc612_0001], 9999));
        assert!(!from_low);
        Alert {
            key,
            now_ns: 5_000_000_000,
            first_ns: 4_000_000_000,
            packet: 3,
            model: 0xab,
            features: std::array::from_fn(|index| i64::try_from(index).expect("small") << 16),
            interface: 7,
            class: 1,
            forward: 1,
            originator_low: 0,
        }
    }

    fn context() -> Context<'static> {
        let wall = UNIX_EPOCH + Duration::from_secs(1_700_000_010);
        Context { interface: "eth0", class: "scan", blocked: false, wall, now_ns: 15_000_000_000 }
    }

    #[test]
    fn a_record_has_suricatas_fields_and_ours() {
        let record = record(&alert(), &context());
        let expected = json!({
            "timestamp": "2023-11-14T22:13:20.000000+0000",
            "flow_id": record["flow_id"],
            "in_iface": "eth0",
            "event_type": "alert",
            "src_ip": "198.18.0.2",
            "src_port": 40_000,
            "dest_ip": "198.18.0.1",
            "dest_port": 9999,
            "proto": "UDP",
            "community_id": community::id(17, ("198.18.0.1".parse().expect("an address"), 9999), ("198.18.0.2".parse().expect("an address"), 40_000)),
            "direction": "to_server",
            "flow": { "start": "2023-11-14T22:13:19.000000+0000" },
            "alert": { "action": "allowed", "signature": "Treeline: scan", "category": "scan", "severity": 2 },
            "treeline": record["treeline"],
        });
        assert_eq!(record, expected);
        let ours = &record["treeline"];
        assert_eq!((ours["class_id"].as_u64(), ours["packet"].as_u64()), (Some(1), Some(3)));
        assert_eq!(ours["model"], "00000000000000ab");
        assert_eq!(ours["features"]["length"].as_f64(), Some(3.0));
        assert_eq!(ours["features_fixed"][3].as_u64(), Some(3 << 16));
        assert!(record["flow_id"].as_u64().is_some_and(|id| id < 1 << 53));
    }

    #[test]
    fn a_reply_has_the_responder_as_its_source_and_the_same_flow() {
        let forward = record(&alert(), &context());
        let reply = record(&Alert { forward: 0, ..alert() }, &Context { blocked: true, ..context() });
        assert_eq!((&reply["src_ip"], &reply["src_port"]), (&forward["dest_ip"], &forward["dest_port"]));
        assert_eq!((&reply["flow_id"], &reply["community_id"]), (&forward["flow_id"], &forward["community_id"]));
        assert_eq!((&reply["direction"], &reply["alert"]["action"]), (&json!("to_client"), &json!("blocked")));
        let later = record(&Alert { first_ns: 4_500_000_000, ..alert() }, &context());
        assert_ne!(later["flow_id"], forward["flow_id"]);
    }

    #[test]
    fn an_alert_follows_the_wall_clock() {
        let stepped = Context { wall: UNIX_EPOCH + Duration::from_secs(1_600_000_010), ..context() };
        assert_eq!(record(&alert(), &stepped)["timestamp"], "2020-09-13T12:26:40.000000+0000");
    }

    #[test]
    fn icmp_has_no_ports_and_no_community_id() {
        let (key, _) = Key::new(4, 1, ([0, 1], 0), ([0, 2], 0));
        let record = record(&Alert { key, originator_low: 1, ..alert() }, &context());
        assert_eq!(record["proto"], "ICMP");
        for field in ["src_port", "dest_port", "community_id"] {
            assert!(record.get(field).is_none(), "{field}");
        }
    }
}
