//! The little of DER, PEM and the SSH wire format that keys need, both ways.

/// Splits one element off: tag, content, rest. Definite lengths only.
pub(crate) fn element(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = data.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        let bytes = rest.get(..count).filter(|b| (1..=4).contains(&b.len()))?;
        let len = bytes.iter().fold(0_usize, |n, b| n << 8 | usize::from(*b));
        (len, rest.get(count..)?)
    };
    Some((*tag, rest.get(..len)?, rest.get(len..)?))
}

/// The content of the next element if it has this tag; moves on.
pub(crate) fn take<'a>(data: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (t, content, rest) = element(data)?;
    (t == tag).then(|| {
        *data = rest;
        content
    })
}

/// An element of this tag around `content`.
pub(crate) fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(n) if n < 0x80 => out.push(n),
        _ => {
            let len = (content.len() as u64).to_be_bytes();
            let bytes: Vec<u8> = len.iter().copied().skip_while(|b| *b == 0).collect();
            out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(8));
            out.extend(bytes);
        }
    }
    out.extend(content);
    out
}

/// Bits of an unsigned big-endian number.
pub(crate) fn bits(number: &[u8]) -> u32 {
    let number: &[u8] =
        number.iter().position(|b| *b != 0).and_then(|i| number.get(i..)).unwrap_or_default();
    let lead = number.first().map_or(0, |b| b.leading_zeros());
    u32::try_from(number.len()).unwrap_or(u32::MAX).saturating_mul(8).saturating_sub(lead)
}

/// Object identifiers as DER content.
pub(crate) mod oid {
    pub const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    pub const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1];
    pub const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    pub const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    pub const ED448: &[u8] = &[0x2b, 0x65, 0x71];
    pub const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    pub const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
    pub const P521: &[u8] = &[0x2b, 0x81, 4, 0, 0x23];
    pub const P224: &[u8] = &[0x2b, 0x81, 4, 0, 0x21];
    pub const P192: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1];
    pub const K256: &[u8] = &[0x2b, 0x81, 4, 0, 0x0a];
    pub const PKCS7_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
}

/// Size of a named curve.
pub(crate) fn curve_bits(id: &[u8]) -> Option<u32> {
    match id {
        oid::P256 | oid::K256 => Some(256),
        oid::P384 => Some(384),
        oid::P521 => Some(521),
        oid::P224 => Some(224),
        oid::P192 => Some(192),
        _ => None,
    }
}

/// SubjectPublicKeyInfo from the algorithm's content and the key's bits.
pub(crate) fn spki(algorithm: &[&[u8]], key: &[u8]) -> Vec<u8> {
    let mut bits = vec![0];
    bits.extend(key);
    let inner = [wrap(0x30, &algorithm.concat()), wrap(3, &bits)].concat();
    wrap(0x30, &inner)
}

/// A DER INTEGER of an unsigned number.
pub(crate) fn integer(number: &[u8]) -> Vec<u8> {
    let number: Vec<u8> = number.iter().copied().skip_while(|b| *b == 0).collect();
    let mut content = if number.first().is_none_or(|b| *b >= 0x80) { vec![0] } else { Vec::new() };
    content.extend(number);
    wrap(2, &content)
}

/// SubjectPublicKeyInfo of an RSA key.
pub(crate) fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = wrap(0x30, &[integer(modulus), integer(exponent)].concat());
    spki(&[&wrap(6, oid::RSA), &[5, 0]], &key)
}

/// SubjectPublicKeyInfo of a point on a named curve.
pub(crate) fn ec_spki(curve: &[u8], point: &[u8]) -> Vec<u8> {
    spki(&[&wrap(6, oid::EC), &wrap(6, curve)], point)
}

/// SubjectPublicKeyInfo of an Ed25519 key.
pub(crate) fn ed25519_spki(key: &[u8]) -> Vec<u8> {
    spki(&[&wrap(6, oid::ED25519)], key)
}

/// A string of the SSH wire format; moves on.
pub(crate) fn ssh_string<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u32::from_be_bytes(data.get(..4)?.try_into().ok()?) as usize;
    let end = 4_usize.checked_add(len)?;
    let out = data.get(4..end)?;
    *data = data.get(end..)?;
    Some(out)
}

/// An SSH public key blob: algorithm, bits and SubjectPublicKeyInfo.
pub(crate) fn ssh_public(blob: &[u8]) -> Option<(String, Option<u32>, Option<Vec<u8>>)> {
    let mut rest = blob;
    let name = std::str::from_utf8(ssh_string(&mut rest)?).ok()?.to_owned();
    let found = match name.as_str() {
        "ssh-rsa" => {
            let (e, n) = (ssh_string(&mut rest)?, ssh_string(&mut rest)?);
            (Some(bits(n)), Some(rsa_spki(n, e)))
        }
        "ssh-ed25519" | "sk-ssh-ed25519@openssh.com" => {
            let key = ssh_string(&mut rest).filter(|k| k.len() == 32)?;
            (Some(256), Some(ed25519_spki(key)))
        }
        "ssh-dss" => (Some(bits(ssh_string(&mut rest)?)), None),
        n if n.starts_with("ecdsa-sha2-") || n.starts_with("sk-ecdsa-sha2-") => {
            let curve = ssh_curve(ssh_string(&mut rest)?)?;
            (curve_bits(curve), Some(ec_spki(curve, ssh_string(&mut rest)?)))
        }
        _ => return None,
    };
    Some((name, found.0, found.1))
}

/// The curve that SSH calls `nistp256` and so on.
pub(crate) fn ssh_curve(name: &[u8]) -> Option<&'static [u8]> {
    match name {
        b"nistp256" => Some(oid::P256),
        b"nistp384" => Some(oid::P384),
        b"nistp521" => Some(oid::P521),
        _ => None,
    }
}

/// Bytes of base64 text; white space and (in programs) `\n` escapes between the characters are skipped.
pub(crate) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let (mut value, mut count) = (0_u32, 0_u32);
    for c in text {
        let digit = match c {
            b'A'..=b'Z' => c.checked_sub(b'A')?,
            b'a'..=b'z' => c.checked_sub(b'a')?.checked_add(26)?,
            b'0'..=b'9' => c.checked_sub(b'0')?.checked_add(52)?,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            c if c.is_ascii_whitespace() => continue,
            _ => return None,
        };
        value = value << 6 | u32::from(digit);
        count = count.checked_add(1)?;
        if count == 4 {
            out.extend(value.to_be_bytes().iter().skip(1));
            (value, count) = (0, 0);
        }
    }
    match count {
        0 => {}
        2 => out.push(u8::try_from(value >> 4 & 0xff).ok()?),
        3 => out.extend([
            u8::try_from(value >> 10 & 0xff).ok()?,
            u8::try_from(value >> 2 & 0xff).ok()?,
        ]),
        _ => return None,
    }
    Some(out)
}

/// A PEM block: label, header lines, decoded body, and its byte range.
#[derive(Debug)]
pub(crate) struct Pem<'a> {
    pub label: &'a str,
    pub encrypted: bool,
    pub body: Vec<u8>,
    pub range: (u64, u64),
}

/// The PEM block that begins at `at`, at most 64 KiB of it.
pub(crate) fn pem(data: &[u8], at: usize) -> Option<Pem<'_>> {
    let block = data.get(at..)?;
    let block = block.get(..block.len().min(64 << 10))?;
    let rest = block.strip_prefix(b"-----BEGIN ")?;
    let end = memchr::memmem::find(rest.get(..rest.len().min(64))?, b"-----")?;
    let label = std::str::from_utf8(rest.get(..end)?).ok()?;
    let inner = rest.get(end.checked_add(5)?..)?;
    let close = format!("-----END {label}-----");
    let stop = memchr::memmem::find(inner, close.as_bytes())?;
    let mut body = inner.get(..stop)?;
    let mut encrypted = label.starts_with("ENCRYPTED");
    // Headers (RFC 1421) stand before an empty line.
    if memchr::memchr(b':', body).is_some() {
        encrypted |= memchr::memmem::find(body, b"ENCRYPTED").is_some();
        let blank = memchr::memmem::find(body, b"\n\n").map(|i| i.saturating_add(2));
        let blank =
            blank.or_else(|| memchr::memmem::find(body, b"\r\n\r\n").map(|i| i.saturating_add(4)));
        body = body.get(blank?..)?;
    }
    let length =
        11_usize.checked_add(end)?.checked_add(5)?.checked_add(stop)?.checked_add(close.len())?;
    let range = (at as u64, (at.checked_add(length)?) as u64);
    let body = base64(body).filter(|b| !b.is_empty())?;
    Some(Pem { label, encrypted, body, range })
}
