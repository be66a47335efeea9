//! Random programs, in the VM and in the kernel.

use std::collections::BTreeMap;

use treeline_sim::exercise::program::{Case, Kernel, Verdict, program};

/// A generator of input bytes, the same in every run: xorshift64*.
struct Bytes(u64);

impl Bytes {
    fn take(&mut self, count: usize) -> Vec<u8> {
        (0..count)
            .map(|_| {
                self.0 ^= self.0 >> 12;
                self.0 ^= self.0 << 25;
                self.0 ^= self.0 >> 27;
                (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
            })
            .collect()
    }
}

#[test]
fn programs_equal() {
    let kernel = Kernel::new().expect("root");
    let mut bytes = Bytes(std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1));
    let mut counts = BTreeMap::new();
    let cases: u32 = std::env::var("CASES").ok().and_then(|seed| seed.parse().ok()).unwrap_or(300);
    let start = std::time::Instant::now();
    let mut findings = BTreeMap::new();
    for number in 0..cases {
        let length = 100 + number as usize % 400;
        let input = bytes.take(length);
        match program(&input, Some(&kernel)) {
            Ok(verdict) => {
                *counts.entry(format!("{verdict:?}")).or_insert(0) += 1;
                if verdict == Verdict::Rejected {
                    let case = Case::draw(&input).unwrap();
                    let log = case.in_kernel(&kernel).unwrap_err().log;
                    let lines: Vec<&str> = log.lines().collect();
                    let last = lines.iter().rev().find(|line| !line.starts_with("processed") && !line.contains("os error")).unwrap_or(&"").to_string();
                    let key: String = last.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
                    findings.entry(format!("REJECT {key}")).or_insert((0, log)).0 += 1;
                }
            }
            Err(finding) => {
                *counts.entry("Finding".to_owned()).or_insert(0) += 1;
                let options = treeline_sim::vm::Options { instructions_max: 1 << 24, ..Default::default() };
                let text = finding.to_string();
                let text = if findings.len() < 4 {
                    let small = treeline_sim::exercise::program::reduced(Case::draw(&input).unwrap(), &kernel, &options);
                    let text = treeline_sim::exercise::program::compare(&small, &kernel, &options).unwrap_err().to_string();
                    text.lines().filter(|line| !line.contains(": ja +0x0")).collect::<Vec<_>>().join("\n")
                } else {
                    text
                };
                let key: String = text.lines().next().unwrap().chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
                findings.entry(key).or_insert((0, text)).0 += 1;
            }
        }
    }
    println!("{counts:?} in {:?}", start.elapsed());
    for (key, (count, text)) in &findings {
        println!("=== {count} x {key}");
        if std::env::var("SHOW").is_ok() {
            println!("{}\n...", text.lines().take(if text.contains("REJ") {0} else {7}).collect::<Vec<_>>().join("\n"));
            println!("{}", text.lines().rev().take(400).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }
}

