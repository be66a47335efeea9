//! Made-up rows with the shapes of traffic, drawn from a seed: whole ports and lengths, gaps over many decades, means with fractions, and
//! classes that overlap, so that a tree grows to its limits.

#![expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "made-up numbers, all small")]

use treeline_ebpf::feature::FEATURES;
use treeline_model::train::Table;

/// `SplitMix64` (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `end`, without it.
    pub fn below(&mut self, end: u64) -> i64 {
        (self.next() % end).cast_signed()
    }

    /// 0 to 1, without it.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// `rows` rows of `classes` classes in fixed point, each of weight 1.
pub fn table(rows: usize, classes: u16, seed: u64) -> Table {
    let mut random = Random(seed);
    (0..rows).map(|_| row(&mut random, classes)).map(|(features, class)| (features, class, 1.0)).collect()
}

fn row(random: &mut Random, classes: u16) -> ([i64; FEATURES], u16) {
    // What the flow does, and from what class it comes: mostly the one that does such things.
    let habit = random.below(u64::from(classes) * 3);
    let class = if random.share() < 0.92 { habit % i64::from(classes) } else { random.below(u64::from(classes)) };
    let port = [80, 443, 22, 53, 8080][random.below(5) as usize];
    let protocol = if habit % 4 == 3 { 17 } else { 6 };
    let length_mean = spread(random, 60.0 + 97.0 * habit as f64, 90.0).min(1500.0);
    let gap_mean = 10.0_f64.powf(3.0 + 0.4 * habit as f64 + 2.0 * random.share() + random.share());
    let share = random.share().max(habit as f64 / 20.0 % 1.0);
    let features = [
        whole(1024.0 + random.share() * 64_000.0),
        whole(f64::from(port + habit as i32 / 4)),
        whole(f64::from(protocol)),
        whole(spread(random, length_mean, 200.0).clamp(20.0, 1500.0)),
        whole(gap_mean * 3.0 * random.share()),
        whole(random.share().round()),
        fixed(length_mean),
        fixed(gap_mean),
        fixed(share),
        fixed(spread(random, 12.0 * habit as f64, 40.0)),
        fixed(gap_mean * random.share()),
        fixed(2.0 * share * (1.0 - share)),
    ];
    (features, class as u16)
}

/// About `centre`, within three times `width`, not below 0.
fn spread(random: &mut Random, centre: f64, width: f64) -> f64 {
    (centre + (random.share() + random.share() + random.share() - 1.5) * 2.0 * width).max(0.0)
}

fn whole(value: f64) -> i64 {
    (value as i64) << 16
}

fn fixed(value: f64) -> i64 {
    (value * 65_536.0) as i64
}
