//! What the capture reader makes of files that are odd, damaged or no captures, byte by byte.

mod by_hand;
mod compression;
mod pcap;
mod pcapng;
mod reader;
mod refusal;
