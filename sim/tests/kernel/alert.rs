//! Alerts: one a flow and interval whatever CPUs meet, none lost without being counted.

use std::thread;
use std::time::Duration;

use libtest_mimic::Failed;
use treeline_ebpf::{Alert, Config, Counter, feature};
use treeline_model::Model;
use treeline_sim::engine::{Hook, Settings};

use super::support::recipe::Recipe;
use super::{Live, REPEAT, Result, equal, on_every_cpu, support};

const HOUR_NS: u64 = 3_600_000_000_000;

fn live(hook: Hook, model: &Model, alert_interval_ns: u64) -> std::result::Result<Live, Failed> {
    let config = Config { alert_interval_ns, model: 7, ..Config::default() };
    Live::of(&Settings { flows_max: 65_536, ..support::settings(hook, config, model) })
}

/// Takes what is in the ring buffer.
fn alerts(live: &mut Live) -> std::result::Result<Vec<Alert>, Failed> {
    let mut alerts = vec![];
    for bytes in live.ring()?.drain() {
        equal("bytes of an alert", bytes.len(), size_of::<Alert>())?;
        alerts.push(bytemuck::pod_read_unaligned(&bytes));
    }
    Ok(alerts)
}

/// Sent, lost and held back; together the malicious packets.
fn fates(live: &Live) -> std::result::Result<[u64; 3], Failed> {
    let numbers = live.numbers()?;
    let fates = [numbers.alerts_sent, numbers.alerts_lost, numbers.alerts_held];
    equal("sent, lost and held", fates.iter().sum(), live.counters()?[Counter::Malicious as usize])?;
    Ok(fates)
}

pub fn one_flow_many_cpus(hook: Hook) -> Result {
    let mut live = live(hook, &support::constant(1), HOUR_NS)?;
    let packet = Recipe::default();
    let bytes = [packet.bytes(), packet.back().bytes()];
    let cpus = on_every_cpu(|cpu| (0..10).try_for_each(|_| live.run(&bytes[cpu % 2], REPEAT).map(drop)))?;
    let [sent, lost, held] = fates(&live)?;
    println!("{}: {cpus} CPUs, {held} alerts held back", hook.name());
    equal("sent, lost", (sent, lost), (1, 0))?;
    equal("alerts", alerts(&mut live)?.len(), 1)
}

pub fn many_flows_many_cpus(hook: Hook) -> Result {
    let mut live = live(hook, &support::constant(1), HOUR_NS)?;
    let packet = |port: u16| Recipe { source: (1, port), ..Recipe::default() }.bytes();
    let ports = 1000..4000_u16;
    on_every_cpu(|_| ports.clone().try_for_each(|port| live.run(&packet(port), 2).map(drop)))?;
    let mut keys: Vec<_> = alerts(&mut live)?.into_iter().map(|alert| alert.key.low_port).collect();
    keys.sort_unstable();
    equal("flows with an alert", keys, ports.collect())
}

pub fn content(hook: Hook) -> Result {
    let mut live = live(hook, &support::constant(1), HOUR_NS)?;
    let packet = Recipe { source: (9, 1000), destination: (2, 2000), payload: 100, ..Recipe::default() };
    live.run(&packet.bytes(), 1)?;
    let ([alert], [flow]) = (&alerts(&mut live)?[..], &live.flows()?[..]) else { return Err("not one alert and one flow".into()) };
    equal("key", alert.key, flow.key)?;
    equal("times", (alert.now_ns, alert.first_ns, flow.alerted_ns), (flow.first_ns, flow.first_ns, flow.first_ns))?;
    equal("packet, model, class", (alert.packet, alert.model, alert.class), (1, 7, 1))?;
    equal("from the originator, which is low", (alert.forward, alert.originator_low), (1, 0))?;
    let value = |feature: usize| alert.features[feature] >> feature::FRACTION_BITS;
    equal("ports", (value(feature::ORIGINATOR_PORT), value(feature::RESPONDER_PORT)), (1000, 2000))?;
    equal("length", value(feature::LENGTH), 128)?;
    equal("an interface", alert.interface > 0, true)?;
    live.run(&packet.back().bytes(), 1)?;
    equal("sent, lost, held", fates(&live)?, [1, 0, 1])
}

pub fn interval(hook: Hook) -> Result {
    const INTERVAL: Duration = Duration::from_millis(300);
    let mut live = live(hook, &support::constant(1), 300_000_000)?;
    let bytes = Recipe::default().bytes();
    for _ in 0..3 {
        live.run(&bytes, 1)?;
        live.run(&bytes, 1)?;
        thread::sleep(INTERVAL);
    }
    let times: Vec<_> = alerts(&mut live)?.into_iter().map(|alert| alert.now_ns).collect();
    equal("alerts", times.len(), 3)?;
    equal("an interval between any two", times.windows(2).all(|pair| pair[1] - pair[0] >= 300_000_000), true)?;
    equal("sent, lost, held", fates(&live)?, [3, 0, 3])
}

pub fn full(hook: Hook) -> Result {
    let mut live = live(hook, &support::constant(1), HOUR_NS)?;
    let ports = 1000..9000_u16;
    for port in ports.clone() {
        let result = live.run(&Recipe { source: (1, port), ..Recipe::default() }.bytes(), 1)?;
        equal("returned", result, hook.returned(false))?;
    }
    let [sent, lost, held] = fates(&live)?;
    println!("{}: {sent} alerts sent, {lost} lost", hook.name());
    equal("some are lost", lost > 0 && held == 0, true)?;
    let first = alerts(&mut live)?;
    equal("alerts", first.len() as u64, sent)?;
    // Room again: the flows whose alerts were lost alert at their next packet, and the others wait their interval.
    for port in ports.clone() {
        live.run(&Recipe { source: (1, port), ..Recipe::default() }.bytes(), 1)?;
    }
    let second = alerts(&mut live)?;
    equal("sent, lost, held", fates(&live)?, [sent + lost, lost, sent])?;
    let mut keys: Vec<_> = first.iter().chain(&second).map(|alert| alert.key.low_port).collect();
    keys.sort_unstable();
    equal("flows with an alert", keys, ports.collect())?;
    equal("a late alert is of the second packet", second.iter().all(|alert| alert.packet == 2), true)
}

pub fn none(hook: Hook) -> Result {
    for (class, interval_ns) in [(0, HOUR_NS), (1, 0)] {
        let mut live = live(hook, &support::constant(class), interval_ns)?;
        live.run(&Recipe::default().bytes(), 1000)?;
        let numbers = live.numbers()?;
        equal("sent, lost, held", [numbers.alerts_sent, numbers.alerts_lost, numbers.alerts_held], [0; 3])?;
        equal("alerts", alerts(&mut live)?.len(), 0)?;
        equal("bytes, entries", (numbers.bytes, numbers.flows_inserted), (1000 * Recipe::default().bytes().len() as u64, 1))?;
    }
    Ok(())
}
