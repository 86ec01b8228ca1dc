//! NRV2B of the UCL library with bits in bytes, as QNX uses it.
//!
//! Bits of instructions come from bytes of their own, the highest first, fetched when they are needed; literals and low
//! bytes of distances stand between them. A 1 is a literal. A 0 is a match: a distance in pairs of bits (value, stop),
//! where 2 means the last one again; then a length. A distance of all ones ends the stream.
//!
//! Source: the stream as the decoders of coreboot (`lib/nrv2b.c`) and etherboot read it.

use super::{Decoded, Error, Output, copy_match};
use crate::{budget::Budget, read};

/// Decodes one stream up to its end mark.
#[must_use]
pub fn decode(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(max, budget);
    let mut source = Source { input, ip: 0, bits: 0, left: 0 };
    let mut op = 0;
    let error = run(&mut source, &mut out, &mut op).err();
    Decoded { bytes: out.finish(op), consumed: source.ip.min(input.len()), error }
}

struct Source<'i> {
    input: &'i [u8],
    ip: usize,
    bits: u8,
    left: u32,
}

impl Source<'_> {
    fn byte(&mut self) -> Result<u8, Error> {
        let byte = read::u8(self.input, self.ip);
        self.ip = self.ip.saturating_add(1);
        byte.ok_or(Error::Truncated { what: "UCL", at: self.input.len() })
    }

    fn bit(&mut self) -> Result<u32, Error> {
        if self.left == 0 {
            (self.bits, self.left) = (self.byte()?, 8);
        }
        self.left = self.left.saturating_sub(1);
        Ok(u32::from(self.bits) >> self.left & 1)
    }

    /// A number of at least 2: bits of it, each followed by a 0 where more come.
    fn number(&mut self) -> Result<u32, Error> {
        let mut value = 1_u32;
        loop {
            if value >> 26 != 0 {
                return Err(Error::Malformed { what: "a number of UCL is too large", at: self.ip });
            }
            value = value << 1 | self.bit()?;
            if self.bit()? == 1 {
                return Ok(value);
            }
        }
    }
}

fn run(source: &mut Source<'_>, out: &mut Output<'_>, op: &mut usize) -> Result<(), Error> {
    let mut last = 1_usize;
    loop {
        while source.bit()? == 1 {
            let byte = source.byte()?;
            while out.room() <= *op {
                out.grow()?;
            }
            if let Some(place) = out.buf.get_mut(*op) {
                *place = byte;
            }
            *op = op.saturating_add(1);
        }
        let high = source.number()?;
        if let Some(high) = high.checked_sub(3) {
            let distance = high << 8 | u32::from(source.byte()?);
            if distance == u32::MAX {
                return Ok(());
            }
            last = (distance as usize).saturating_add(1);
        }
        let mut length = (source.bit()? << 1 | source.bit()?) as usize;
        if length == 0 {
            length = (source.number()? as usize).saturating_add(2);
        }
        // Far matches are one longer.
        length = length.saturating_add(1).saturating_add(usize::from(last > 0xD00));
        if last > *op {
            return Err(Error::Malformed {
                what: "a match of UCL begins before the content",
                at: source.ip,
            });
        }
        let end = op.saturating_add(length);
        while out.room() < end {
            out.grow()?;
        }
        copy_match(&mut out.buf, *op, last, length);
        *op = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, scratch, tool};

    /// Compresses by the library itself.
    fn packed(content: &[u8]) -> Vec<u8> {
        const PROGRAM: &str = "#include <stdio.h>\n#include <stdlib.h>\n#include <ucl/ucl.h>\n\
            int main(void){static unsigned char in[1<<20],out[2<<20];ucl_uint n=0;ucl_init();\
            size_t k=fread(in,1,sizeof in,stdin);\
            if(ucl_nrv2b_99_compress(in,k,out,&n,NULL,9,NULL,NULL)!=UCL_E_OK)return 1;\
            fwrite(out,1,n,stdout);return 0;}";
        let dir = scratch();
        std::fs::write(dir.path().join("p.c"), PROGRAM).unwrap();
        std::fs::write(dir.path().join("in"), content).unwrap();
        tool(dir.path(), "gcc libc6-dev libucl-dev", "gcc -o p p.c -lucl && ./p < in")
    }

    #[test]
    fn what_the_library_packs_is_unpacked() {
        let text = "a line that comes again and again\n".repeat(500).into_bytes();
        // Far matches: the same noise a second time.
        let far = [noise(9000, 1), noise(300, 2), noise(9000, 1)].concat();
        for content in [text, far, noise(5000, 3), vec![7; 100_000], b"x".to_vec()] {
            let packed = packed(&content);
            let decoded = decode(&packed, content.len(), &Budget::ample());
            assert_eq!(decoded.error, None);
            assert_eq!((decoded.bytes.as_ref(), decoded.consumed), (&content[..], packed.len()));
            for cut in [1, packed.len() / 2, packed.len() - 1] {
                assert!(decode(&packed[..cut], content.len(), &Budget::ample()).error.is_some());
            }
            let less = decode(&packed, content.len() - 1, &Budget::ample());
            assert_eq!(less.error, Some(Error::Limit { max: content.len() - 1 }));
        }
    }

    #[test]
    fn noise_is_refused() {
        for seed in 0..50 {
            let decoded = decode(&noise(2000, seed), 1 << 16, &Budget::ample());
            assert!(decoded.bytes.len() <= 1 << 16);
        }
    }
}
