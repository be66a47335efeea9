//! Traffic by iperf3 from h0 through the switch to h1: TCP without limit.

use std::io::Read;
use std::process::Child;
use std::time::Duration;

use serde_json::Value;

use super::lab::{Lab, RECEIVER};

/// Beyond the time that a client is to send for.
const GRACE: Duration = Duration::from_secs(20);

/// A running server. Dropping it ends it.
pub struct Server(Child);

impl Server {
    /// Starts it on h1.
    pub fn start(lab: &Lab) -> Result<Self, String> {
        let mut command = lab.command("h1", None, "iperf3");
        command.args(["--server", "--bind", RECEIVER]).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let server = Self(command.spawn().map_err(|error| format!("nsenter: {error}"))?);
        // A first client shows that it listens.
        for _ in 0..50 {
            lab.check()?;
            if send(lab, 1, true).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("iperf3 does not listen on h1".to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors say that it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a client saw.
pub struct Sent {
    /// Bits a second that arrived as payload.
    pub goodput: f64,
    /// How long it took, seconds.
    pub seconds: f64,
}

/// A client that sends for so long, or only little.
pub fn send(lab: &Lab, seconds: u32, little: bool) -> Result<Sent, String> {
    let mut command = lab.command("h0", None, "iperf3");
    command.args(["--client", RECEIVER, "--json", "--connect-timeout", "2000"]);
    if little {
        command.args(["--bytes", "100K"]);
    } else {
        command.args(["--time", &seconds.to_string()]);
    }
    let mut client = command.spawn().map_err(|error| format!("nsenter: {error}"))?;
    let mut stdout = client.stdout.take().ok_or("no standard output")?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let time_max = Duration::from_secs(seconds.into()) + GRACE;
    let ended = lab.wait(time_max, "iperf3 ends", || client.try_wait().map_err(|error| error.to_string()));
    if ended.is_err() {
        // It may have ended meanwhile.
        let _ = client.kill();
        let _ = client.wait();
    }
    ended?;
    let text = reader.join().map_err(|_| "the reader panicked")?.map_err(|error| error.to_string())?;
    let report: Value = serde_json::from_str(&text).map_err(|error| format!("iperf3 --json: {error}"))?;
    if let Some(error) = report["error"].as_str() {
        return Err(format!("iperf3: {error}"));
    }
    let received = &report["end"]["sum_received"];
    let sent = received["bits_per_second"].as_f64().zip(received["seconds"].as_f64());
    sent.map(|(goodput, seconds)| Sent { goodput, seconds }).ok_or_else(|| "iperf3 --json: no end.sum_received".to_owned())
}
