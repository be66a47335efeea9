//! What the kernel programs do around the classifier, for the native engine: numbers, and alerts under the same rules.

use std::sync::mpsc::SyncSender;

use treeline_ebpf::alert::{Alarm, Alert};
use treeline_ebpf::{Config, Counter, Counters, Flow, Live, feature};
use treeline_sim::engine::native::Watch;

/// The numbers, and where alerts go.
#[derive(Debug)]
pub struct Tally {
    /// The classifier's counters.
    pub counters: Counters,
    /// The shell's.
    pub live: Live,
    /// Interface of the packet at hand.
    pub interface: u32,
    /// Alerts were sent since somebody looked.
    pub rang: bool,
    interval_ns: u64,
    model: u64,
    alerts: SyncSender<Alert>,
}

impl Tally {
    /// Nothing counted.
    pub fn new(config: &Config, alerts: SyncSender<Alert>) -> Self {
        let mut tally =
            Self { counters: Counters::default(), live: Live::ZERO, interface: 0, rang: false, interval_ns: 0, model: 0, alerts };
        tally.set(config);
        tally
    }

    /// Goes on with another configuration.
    pub fn set(&mut self, config: &Config) {
        self.interval_ns = config.alert_interval_ns;
        self.model = config.model;
    }

    fn alert(&self, alarm: &Alarm<'_>, flow: &Flow) -> Alert {
        let forward = alarm.features.value(feature::DIRECTION as u64) != 0;
        Alert {
            key: *alarm.key,
            now_ns: alarm.now_ns,
            first_ns: flow.first_ns,
            packet: flow.packets,
            model: self.model,
            features: alarm.features.values(),
            interface: self.interface,
            class: alarm.class,
            forward: u8::from(forward),
            originator_low: u8::from(forward == alarm.from_low),
        }
    }
}

impl Watch for Tally {
    fn count(&mut self, counter: Counter) {
        self.counters[counter as usize] += 1;
    }

    fn inserted(&mut self) {
        self.live.flows_inserted += 1;
    }

    /// As `src/kernel/alert.rs` of the programs.
    fn alarm(&mut self, alarm: &Alarm<'_>, flow: &mut Flow) {
        self.live.judged(Live::slot(alarm.class));
        if self.interval_ns == 0 {
            return;
        }
        if flow.alerted_ns != 0 && alarm.now_ns.saturating_sub(flow.alerted_ns) < self.interval_ns {
            self.live.alerts_held += 1;
            return;
        }
        if self.alerts.try_send(self.alert(alarm, flow)).is_ok() {
            // Only now: a lost alert is due again at the next malicious packet.
            flow.alerted_ns = alarm.now_ns;
            self.live.alerts_sent += 1;
            self.rang = true;
        } else {
            self.live.alerts_lost += 1;
        }
    }
}
