//! What bytes look like that no format claims.
//!
//! Shannon entropy tells packed bytes from plain ones; Pearson's chi-square
//! against the uniform distribution tells encrypted bytes from most compressed
//! ones (a good compressor comes close, so both words say *looking*). Code is
//! recognised by the density of instructions that nearly every function of an architecture has.
//! Ranges above 16 MiB are judged by sixteen windows of 1 MiB spread evenly over them.

use proofmark_model::{Opaque, RegionClass};

/// Ranges up to this size are looked at whole.
const WHOLE: usize = 16 << 20;
const WINDOW: usize = 1 << 20;
const WINDOWS: usize = 16;
/// Steps between the first window and the last.
const STEPS: usize = WINDOWS - 1;

/// What the bytes of a gap are.
#[must_use]
pub fn classify(bytes: &[u8]) -> RegionClass {
    if let Some(&byte) = bytes.first()
        && uniform(bytes, byte)
    {
        return RegionClass::Padding { byte };
    }
    let windows = windows(bytes);
    let mut counts = [0_u64; 256];
    for window in &windows {
        for b in *window {
            if let Some(n) = counts.get_mut(usize::from(*b)) {
                *n = n.saturating_add(1);
            }
        }
    }
    let total: u64 = counts.iter().sum();
    let (entropy, chi_square) = (entropy(&counts, total), chi_square(&counts, total));
    let first = windows.first().copied().unwrap_or_default();
    let looks = if is_text(bytes) {
        Opaque::Text
    } else if total >= 1024 && (150.0..=370.0).contains(&chi_square) {
        // 255 degrees of freedom: mean 255, standard deviation 22.6; a uniform source leaves this
        // interval less than once in 100,000 times.
        Opaque::EncryptedLooking
    } else if total >= 256 && entropy > packed(total) {
        Opaque::CompressedLooking
    } else if windows.iter().any(|w| is_code(w)) || is_code(first) {
        Opaque::CodeLooking
    } else {
        Opaque::Data
    };
    RegionClass::Opaque {
        looks,
        entropy_millibits: (entropy * 1000.0).round() as u32,
        chi_square_milli: (chi_square * 1000.0).round() as u64,
    }
}

/// Entropy above which so many bytes count as packed: what uniformly distributed bytes of that number
/// would show, less a margin. (The expected shortfall of a sample is about 255 / (2 n ln 2) bits.)
fn packed(total: u64) -> f64 {
    7.5 - 184.0 / total as f64
}

/// Whether all bytes are `byte`.
fn uniform(bytes: &[u8], byte: u8) -> bool {
    bytes.chunks(128).all(|c| c.iter().fold(0, |a, b| a | (b ^ byte)) == 0)
}

fn windows(bytes: &[u8]) -> Vec<&[u8]> {
    if bytes.len() <= WHOLE {
        return vec![bytes];
    }
    let step = bytes.len().saturating_sub(WINDOW) / STEPS;
    (0..WINDOWS)
        .filter_map(|i| {
            let at = step.saturating_mul(i);
            bytes.get(at..at.saturating_add(WINDOW))
        })
        .collect()
}

/// Bits per byte.
fn entropy(counts: &[u64; 256], total: u64) -> f64 {
    let n = total as f64;
    let bits: f64 = counts
        .iter()
        .filter(|c| **c > 0)
        .map(|c| {
            let p = *c as f64 / n;
            -p * p.log2()
        })
        .sum();
    bits.max(0.0)
}

fn chi_square(counts: &[u64; 256], total: u64) -> f64 {
    let expected = total as f64 / 256.0;
    counts.iter().map(|c| (*c as f64 - expected).powi(2) / expected).sum()
}

/// Bytes at the start of a content that must already look like text.
const HEAD: usize = 64 << 10;

/// Whether the content is text for people or programs: no NUL, and hardly a control character, in UTF-8 or
/// an eight-bit code.
#[must_use]
pub fn is_text(bytes: &[u8]) -> bool {
    // Nearly everything that is not text has a zero near its beginning.
    if bytes.is_empty() || memchr::memchr(0, bytes).is_some() {
        return false;
    }
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    let strange = count(head, |b| {
        (b.wrapping_sub(1) < 8) | (b.wrapping_sub(14) < 13) | (b.wrapping_sub(28) < 4) | (b == 127)
    });
    let high = count(head, |b| b >= 128);
    strange.saturating_mul(200) <= head.len()
        && (high.saturating_mul(4) <= head.len() || starts_as_utf8(head))
}

/// How many bytes are so. In runs whose count fits into a byte, which the compiler makes a few instructions of.
#[inline(always)]
fn count(bytes: &[u8], so: impl Fn(u8) -> bool) -> usize {
    let run = |run: &[u8]| run.iter().fold(0_u8, |n, b| n.wrapping_add(u8::from(so(*b))));
    bytes.chunks(128).map(|c| usize::from(run(c))).sum()
}

/// Whether the bytes are UTF-8 but for a character cut off at the end.
fn starts_as_utf8(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(e) => e.error_len().is_none(),
    }
}

/// The format of a content that no format claims.
#[must_use]
pub fn plain(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "empty",
        [b'#', b'!', ..] if is_text(bytes) => "script",
        _ if is_text(bytes) => "text",
        _ => "data",
    }
}

/// Whether the bytes hold instructions: at least one in every 400 aligned words is one that ends or opens a
/// function of one architecture.
fn is_code(bytes: &[u8]) -> bool {
    if bytes.len() < 1024 {
        return false;
    }
    // Returns and frame set-up, in both byte orders where the architecture has both.
    let (mut a64, mut arm, mut mips_le, mut mips_be, mut ppc, mut riscv) =
        (0_usize, 0_usize, 0_usize, 0_usize, 0_usize, 0_usize);
    let mut words = 0_usize;
    for word in bytes.chunks_exact(4) {
        let Ok(w) = <[u8; 4]>::try_from(word) else { continue };
        let (le, be) = (u32::from_le_bytes(w), u32::from_be_bytes(w));
        words = words.saturating_add(1);
        let hit = |counter: &mut usize, yes: bool| {
            *counter = counter.saturating_add(usize::from(yes));
        };
        // ret; stp x29, x30, [sp, #-n]!
        hit(&mut a64, le == 0xd65f_03c0 || le & 0xffc0_7fff == 0xa980_7bfd);
        // bx lr; push {.., lr}; pop {.., pc}
        hit(
            &mut arm,
            le == 0xe12f_ff1e || le >> 14 == 0xe92d_4000 >> 14 || le >> 15 == 0xe8bd_8000 >> 15,
        );
        // jr ra; addiu sp, sp, -n
        hit(&mut mips_le, le == 0x03e0_0008 || le >> 15 == 0x27bd_8000 >> 15);
        hit(&mut mips_be, be == 0x03e0_0008 || be >> 15 == 0x27bd_8000 >> 15);
        // blr; mflr r0
        hit(&mut ppc, be == 0x4e80_0020 || be == 0x7c08_02a6);
        // ret
        hit(&mut riscv, le == 0x0000_8067);
    }
    // push ebp/rbp; mov ebp, esp - or endbr.
    let x86 = memchr::memchr_iter(0x55, bytes)
        .filter(|i| {
            matches!(
                bytes.get(i.saturating_add(1)..i.saturating_add(4)),
                Some([0x48, 0x89, 0xe5] | [0x89, 0xe5, _] | [0x8b, 0xec, _])
            )
        })
        .count();
    [a64, arm, mips_le, mips_be, ppc, riscv, x86]
        .into_iter()
        .any(|n| n.saturating_mul(400) >= words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(bytes: &[u8]) -> Opaque {
        match classify(bytes) {
            RegionClass::Opaque { looks, .. } => looks,
            other => panic!("{other:?}"),
        }
    }

    /// SplitMix64: uniformly distributed bytes without a dependency.
    fn random(n: usize) -> Vec<u8> {
        let mut state = 1_u64;
        std::iter::repeat_with(|| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) as u8
        })
        .take(n)
        .collect()
    }

    #[test]
    fn padding_is_one_byte_repeated() {
        assert_eq!(classify(&[0xff; 4096]), RegionClass::Padding { byte: 0xff });
        assert_eq!(looks(&[&[0_u8; 4096][..], &[1]].concat()), Opaque::Data);
    }

    #[test]
    fn random_bytes_look_encrypted_and_skewed_ones_compressed() {
        assert_eq!(looks(&random(100_000)), Opaque::EncryptedLooking);
        assert_eq!(looks(&random(40 << 20)), Opaque::EncryptedLooking);
        // Half of the bytes have their top bit cleared.
        let skewed: Vec<u8> = random(100_000)
            .iter()
            .enumerate()
            .map(|(i, b)| if i % 4 == 0 { b & 127 } else { *b })
            .collect();
        assert_eq!(looks(&skewed), Opaque::CompressedLooking);
    }

    #[test]
    fn text_and_scripts() {
        assert_eq!(plain(b"#!/bin/sh\necho hi\n"), "script");
        assert_eq!(plain("größer\n".as_bytes()), "text");
        assert_eq!(plain(b"root:x:0:0\0"), "data");
        assert_eq!(plain(b""), "empty");
        assert_eq!(looks(&b"option name value\n".repeat(100)), Opaque::Text);
        assert!(!is_text(&random(1000)));
    }

    #[test]
    fn text_is_what_the_plain_definition_says() {
        let plain = |bytes: &[u8]| {
            let head = &bytes[..bytes.len().min(HEAD)];
            let strange =
                head.iter().filter(|b| matches!(b, 1..=8 | 14..=26 | 28..=31 | 127)).count();
            let high = head.iter().filter(|b| **b >= 128).count();
            !bytes.is_empty()
                && !bytes.contains(&0)
                && strange * 200 <= head.len()
                && (high * 4 <= head.len() || starts_as_utf8(head))
        };
        // Each byte alone decides in one of these, and each share of strange and high bytes is passed.
        for byte in 0..=255 {
            for len in [1, 2, 127, 128, 129, 199, 200, 201, 1000] {
                let mut bytes = vec![b'a'; len];
                bytes[len / 2] = byte;
                assert_eq!(is_text(&bytes), plain(&bytes), "{byte} in {len}");
            }
        }
        let noise = random(400_000);
        for (n, bytes) in noise.chunks(1777).enumerate() {
            let mixed: Vec<u8> = bytes
                .iter()
                .enumerate()
                .map(|(i, b)| if i % (n + 1) == 0 && *b > 0 { *b } else { b & 15 | 0x40 })
                .collect();
            assert_eq!(is_text(&mixed), plain(&mixed), "{n}");
        }
        let long = [vec![b'a'; HEAD], vec![1; HEAD]].concat();
        assert!(is_text(&long) && plain(&long));
    }

    #[test]
    fn code_of_several_architectures() {
        let filler = [0x00_u8, 0x20, 0x02, 0x24];
        for word in [
            0x03e0_0008_u32.to_le_bytes(),
            0xd65f_03c0_u32.to_le_bytes(),
            0x4e80_0020_u32.to_be_bytes(),
        ] {
            let mut code = Vec::new();
            for i in 0..2000_u32 {
                code.extend(if i % 50 == 0 { word } else { filler });
            }
            assert_eq!(looks(&code), Opaque::CodeLooking, "{word:x?}");
        }
    }

    #[test]
    fn entropy_of_known_distributions() {
        let RegionClass::Opaque { entropy_millibits, .. } = classify(&[0, 0, 255, 255]) else {
            panic!()
        };
        assert_eq!(entropy_millibits, 1000);
    }
}
