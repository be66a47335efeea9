//! Labelled captures as tables: a capture's packets become rows of features with a class.
//!
//! The modules follow the data: labels say which class a flow has, rows pair them with the classifier's features, a table keeps rows in a
//! file, a sample picks and weighs rows to train on, an evaluation says what a model makes of them.
//! But for the sample, nothing here grows with the number of packets; only the labels themselves, the rows of one row group and a flow
//! table of fixed size are held.
//!
//! Not here: reading captures (`treeline-lab`), computing features (`treeline-ebpf`), training, the command line.

#![forbid(unsafe_code)]

pub mod label;

pub mod row;

pub mod table;

pub mod sample;

pub mod evaluate;

pub use label::Labels;
pub use row::{Row, Rows};
pub use sample::Sample;
