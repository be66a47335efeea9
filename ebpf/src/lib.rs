//! The classifier.
#![cfg_attr(not(test), no_std)]
