//! Writes toybox archives for tests.

/// The content of an entry.
pub enum E {
    /// As it is.
    Stored(Vec<u8>),
    /// A byte, so many times.
    Run(u8, u32),
}

/// An archive of these entries.
pub fn toybox(entries: &[(&str, E)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, e) in entries {
        let (kind, size, content) = match e {
            E::Stored(c) => (0, c.len() as u32, c.clone()),
            E::Run(b, n) => (1, *n, vec![*b]),
        };
        body.push(kind);
        body.extend((name.len() as u16).to_le_bytes());
        body.extend(size.to_le_bytes());
        body.extend(name.as_bytes());
        body.extend(content);
    }
    let mut out = b"TOYBOX\0\x01".to_vec();
    out.extend((body.len() as u32 + 16).to_le_bytes());
    out.extend((entries.len() as u32).to_le_bytes());
    out.extend(body);
    out
}

/// An entry that is stored as it is.
pub fn stored(name: &str, content: impl Into<Vec<u8>>) -> (&str, E) {
    (name, E::Stored(content.into()))
}
