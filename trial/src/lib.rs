//! `#[test]` for suites with tests that need what a machine may not have: the right to load programs, captures from elsewhere.
//!
//! The built-in attribute knows only passed and failed once a test runs, so that a test without what it needs would pass. Under this one
//! the test joins the trials of `trial/harness.rs`, which reports it as ignored, with the reason. A suite takes it with
//! `#[macro_use] extern crate treeline_trial;` and `harness = false`; its tests look like all others.

use proc_macro::{TokenStream, TokenTree};

/// Makes a function without arguments a trial of the suite.
#[proc_macro_attribute]
pub fn test(_: TokenStream, function: TokenStream) -> TokenStream {
    let mut tokens = function.clone().into_iter();
    let is_fn = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn");
    let Some(TokenTree::Ident(name)) = tokens.find(is_fn).and_then(|_| tokens.next()) else {
        return "compile_error!(\"a test is a function\");".parse().expect("Rust");
    };
    let trial = format!(
        "::inventory::submit! {{ crate::trial::Test {{ path: concat!(module_path!(), \"::{name}\"), run: || crate::trial::ended({name}()) }} }}"
    );
    function.into_iter().chain(trial.parse::<TokenStream>().expect("Rust")).collect()
}
