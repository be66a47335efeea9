//! Labelled captures as tables: a capture's packets become rows of features with a class.
//!
//! The modules follow the data: labels say which class a flow has, rows pair them with the classifier's features, a table keeps rows in a file.
//! Nothing here grows with the number of packets; only the labels themselves, the rows of one row group and a flow table of fixed size are held.
//!
//! Not here: reading captures and computing features (`treeline-sim`, `treeline-ebpf`), training and evaluation, the command line.

#![forbid(unsafe_code)]

pub mod label;

pub mod row;

pub mod table;

pub use label::Labels;
pub use row::{Row, Rows};
