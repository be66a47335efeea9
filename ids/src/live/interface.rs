//! An interface by name and index, and which of its packets are meant. Not here: what its frames begin with (`link`), how a program is attached
//! (`attachment`).

/// Which packets of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Direction {
    /// Those that come in and those that go out.
    Both,
    /// Those that come in.
    Ingress,
    /// Those that go out.
    Egress,
}

impl Direction {
    /// Its name in options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// The index of an interface.
pub fn index(interface: &str) -> Result<u32, String> {
    let name = std::ffi::CString::new(interface).map_err(|_| format!("{interface:?} is no name of an interface"))?;
    // SAFETY: a string that outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(format!("no interface {interface} in this network namespace (ip link lists them)")),
        index => Ok(index),
    }
}

/// The name that the interface with this index has now, if it is there.
pub fn name(index: u32) -> Option<String> {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the size that the function wants.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    let bytes: Vec<_> = name.iter().map(|byte| byte.cast_unsigned()).take_while(|byte| *byte != 0).collect();
    (!found.is_null()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}
