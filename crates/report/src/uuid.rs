//! Identifiers that depend on nothing but the input.

use proofmark_model::Digest;

/// A UUID in the form of version 5 (name-based), from SHA-256 over `purpose` and the image's digest: the same
/// image gives the same identifier, another purpose another one.
///
/// Version 8 (RFC 9562) would be the exact name for it, but readers made after RFC 4122 refuse more than 5.
pub fn derived(purpose: &str, image: &Digest) -> String {
    let mut b = [0_u8; 16];
    b.copy_from_slice(&Digest::of(format!("proofmark {purpose} {image}").as_bytes()).0[..16]);
    b[6] = 0x50 | (b[6] & 0x0f);
    b[8] = 0x80 | (b[8] & 0x3f);
    let hex: String = b.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_on_purpose_and_image_only() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(derived("x", &a), derived("x", &a));
        assert_ne!(derived("x", &a), derived("y", &a));
        assert_ne!(derived("x", &a), derived("x", &b));
        assert_eq!(&derived("x", &a)[14..15], "5");
    }
}
