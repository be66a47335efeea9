//! Writes the hand-made captures, one per edge, into `testdata/captures`, and their table to standard output.
//!
//! `cargo run -p treeline-lab --example edges`; twice gives the same bytes. `lab/tests/edges.rs` compares the committed
//! files and the table in `testdata` with what this makes.

use std::fs;
use std::path::Path;

mod edge;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/captures");
    fs::create_dir_all(&folder)?;
    println!("| file | frames | shows | command |\n|---|---|---|---|");
    for edge in edge::all() {
        fs::write(folder.join(edge.file()), edge.file_bytes())?;
        println!("{}", edge.table_row());
    }
    Ok(())
}
