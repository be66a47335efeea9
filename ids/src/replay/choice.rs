//! Which hooks and trees a replay is of.

use clap::ValueEnum;

use super::Options;
use crate::options::{Hook, Tree};

/// Hooks to replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Hooks {
    /// Express data path, ingress.
    Xdp,
    /// Traffic control, ingress and egress.
    Tc,
    /// A raw socket's filter.
    Socket,
    /// Each of them.
    All,
}

/// Trees to replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Trees {
    /// As data that they walk.
    Walk,
    /// As instructions, linked into them.
    Compiled,
    /// Both.
    All,
}

impl Options {
    /// The hooks asked for, each once.
    pub fn hooks(&self) -> Vec<Hook> {
        let all = [Hook::Tc, Hook::Xdp, Hook::Socket];
        distinct_of(&self.hook, Hook::Tc, |hooks| match hooks {
            Hooks::Xdp => vec![Hook::Xdp],
            Hooks::Tc => vec![Hook::Tc],
            Hooks::Socket => vec![Hook::Socket],
            Hooks::All => all.to_vec(),
        })
    }

    /// The trees asked for, each once.
    pub fn trees(&self) -> Vec<Tree> {
        distinct_of(&self.tree, Tree::Compiled, |trees| match trees {
            Trees::Walk => vec![Tree::Walk],
            Trees::Compiled => vec![Tree::Compiled],
            Trees::All => vec![Tree::Compiled, Tree::Walk],
        })
    }
}

/// What the values name, in their order, each once.
fn distinct_of<V: Copy, T: PartialEq>(values: &[V], default: T, named: impl Fn(V) -> Vec<T>) -> Vec<T> {
    let mut found = Vec::new();
    for value in values.iter().flat_map(|value| named(*value)) {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    if found.is_empty() { vec![default] } else { found }
}
