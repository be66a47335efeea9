//! Labelled captures and a model -> what the model is worth on them.
//!
//! # Definitions
//!
//! A packet is *malicious* if its flow's label is any but benign, and it is *flagged* if the model's class for it is any but benign. A flow
//! is *found* at its first flagged packet, and its verdict is that packet's class; a flow without a flagged packet has the verdict benign.
//! Flows begin and end as the classifier says (`docs/classifier.md`, rules 6 to 9). With malicious as positive and flagged as the answer,
//! TP, FP, FN and TN count packets, or flows:
//!
//! | figure | is |
//! |---|---|
//! | accuracy | (TP + TN) / all |
//! | precision | TP / (TP + FP) |
//! | recall | TP / (TP + FN); of flows, the share found |
//! | F1 | 2 TP / (2 TP + FP + FN) |
//! | false-positive rate | FP / (FP + TN) |
//! | found by packet n | the same with each flow classified by its first n packets; one that has fewer, by all |
//! | packets to a detection | number of the first flagged packet in its flow, from 1, over the malicious flows that were found |
//! | quantile q | the smallest of these numbers that at least q of them do not exceed |
//!
//! A class by name: where the model has a class with the name of a label, precision, recall and F1 are also counted for that one against all
//! others. A ratio with the denominator 0 is none, not 0. Packets without a verdict (skipped by the classifier) and packets and flows
//! without a label are counted and left out of every figure.
//!
//! The modules follow the counting: a packet is metered, its verdict goes into the matrices, its flow into the detections, its path into
//! the visits. Not here: labels and rows ([`crate::row`]), and text, JSON and the page (the command `treeline evaluate`).

pub mod matrix;

pub mod detection;

pub mod score;

pub mod meter;

pub mod visit;

pub mod evaluator;

pub use detection::Detection;
pub use evaluator::{CaptureScore, Evaluation, Evaluator};
pub use matrix::{BENIGN, Binary, Matrix};
pub use meter::{Judged, Meter};
pub use score::{PACKETS, Score};
pub use visit::{Importance, Visit, Visits};
