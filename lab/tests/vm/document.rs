//! The tables of `docs/vm.md` are made from the code.

use std::fmt::Write as _;
use treeline_lab::vm::{HELPERS, Hook, MapKind};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vm.md");

fn helpers() -> String {
    let mut table = "| number | helper | XDP | TC | socket |\n|---:|---|---|---|---|\n".to_owned();
    for helper in HELPERS {
        let mark = |hook| if helper.hooks.has(hook) { "yes" } else { "" };
        let marks = [Hook::Xdp, Hook::Tc, Hook::Socket].map(mark).join(" | ");
        writeln!(table, "| {} | `{}` | {marks} |", helper.number, helper.name).expect("a string takes it");
    }
    table
}

fn maps() -> String {
    let mut table = "| number | map |\n|---:|---|\n".to_owned();
    for kind in (0..64).filter_map(MapKind::from_number) {
        writeln!(table, "| {} | {kind:?} |", kind.number()).expect("a string takes it");
    }
    table
}

/// The page with the table of a name put between its marks.
fn with(page: &str, name: &str, table: &str) -> String {
    let start = page.find(&format!("<!-- {name}:")).unwrap_or_else(|| panic!("docs/vm.md has no mark for {name}"));
    let start = start + page[start..].find("-->").expect("the mark ends") + "-->\n".len();
    let end = start + page[start..].find("<!-- end -->").expect("the table ends");
    format!("{}{table}{}", &page[..start], &page[end..])
}

#[test]
fn the_documented_tables_are_the_vms() {
    let page = std::fs::read_to_string(PAGE).expect("docs/vm.md");
    let made = with(&with(&page, "helpers", &helpers()), "maps", &maps());
    if std::env::var_os("TREELINE_UPDATE").is_some() {
        std::fs::write(PAGE, &made).expect("docs/vm.md");
    }
    assert!(
        page == made || std::env::var_os("TREELINE_UPDATE").is_some(),
        "docs/vm.md is stale: TREELINE_UPDATE=1 cargo test -p treeline-lab --test vm document"
    );
}
