//! LHA and LZH archives, header levels 0 to 3.
//!
//! Methods: `-lh1-` (codec `lzhuf`), `-lh3-` (`lh3`), `-lh4-` to `-lh7-` (`lzh`), those of LArc (`larc`).
//!
//! Source: "LHA header" notes of LHa for UNIX.

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::{Summed, dos_seconds, entry, put};
use crate::{
    budget::Budget,
    codec::{check, larc, lh3, lzh, lzhuf, packed},
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Lha;

static ABOUT: About = About {
    id: "lha",
    name: "LHA / LZH",
    family: Family::Archive,
    revision: 1,
    metadata: "mode, owner, mtime, symbolic links",
    integrity: "header sums, CRC-16 of each content",
    limits: "methods lh2, lh8 to lhe and PMarc (pm1, pm2) are named, not decoded",
    sources: &["LHa for UNIX: header.doc.md"],
};

/// One header.
#[derive(Default)]
struct Head {
    method: [u8; 5],
    size: usize,
    mtime: Option<i64>,
    name: Vec<u8>,
    folder: Vec<u8>,
    crc: u16,
    mode: Option<u32>,
    owner: Option<(u32, u32)>,
    data: (usize, usize),
    verified: bool,
}

fn head(data: &[u8], at: usize) -> Option<Head> {
    let h = data.get(at..)?;
    let mut made = Head { method: read::array(h, 2)?, ..Head::default() };
    let [b'-', b'l', b'h' | b'z', kind, b'-'] = made.method else { return None };
    if !matches!(kind, b'0'..=b'9' | b'd' | b's') {
        return None;
    }
    let mut packed = read::index(read::le32(h, 7)?.into())?;
    made.size = read::index(read::le32(h, 11)?.into())?;
    let level = read::u8(h, 20)?;
    let time = read::le32(h, 15)?;
    made.mtime = if level < 2 { dos_seconds(time) } else { Some(time.into()) };
    // Where the chain of extended headers begins, the width of its sizes, and where the header ends.
    let (mut next, wide, total);
    match level {
        0 | 1 => {
            let len = usize::from(read::u8(h, 0)?);
            let body = read::slice(h, 2, len)?;
            made.verified = body.iter().fold(0u8, |s, b| s.wrapping_add(*b)) == read::u8(h, 1)?;
            let name_len = usize::from(read::u8(h, 21)?);
            made.name = read::slice(h, 22, name_len)?.to_vec();
            let after = name_len.checked_add(22)?;
            made.crc = read::le16(h, after)?;
            total = len.checked_add(2)?;
            wide = false;
            if level == 0 {
                // Unix adds time, mode and owner.
                if read::u8(h, after.checked_add(2)?) == Some(b'U')
                    && len >= after.checked_add(12)?
                {
                    let field = |n: usize| after.checked_add(n);
                    made.mtime = read::le32(h, field(4)?).map(i64::from);
                    made.mode = read::le16(h, field(8)?).map(u32::from);
                    made.owner = read::le16(h, field(10)?)
                        .zip(read::le16(h, field(12)?))
                        .map(|(u, g)| (u.into(), g.into()));
                }
                next = 0;
            } else {
                next = read::le16(h, total.checked_sub(2)?)?.into();
            }
        }
        2 => {
            total = usize::from(read::le16(h, 0)?);
            made.crc = read::le16(h, 21)?;
            next = read::le16(h, 24)?.into();
            wide = false;
        }
        3 => {
            total = read::index(read::le32(h, 24)?.into())?;
            made.crc = read::le16(h, 21)?;
            next = read::index(read::le32(h, 28)?.into())?;
            wide = true;
        }
        _ => return None,
    }
    let mut ext = match level {
        2 => 26,
        3 => 32,
        _ => total,
    };
    let mut extended = 0usize;
    let tail = if wide { 4 } else { 2 };
    for _ in 0..64 {
        if next == 0 {
            break;
        }
        let part = read::slice(h, ext, next)?;
        let value = part.get(1..part.len().checked_sub(tail)?)?;
        match part.first()? {
            0 if level >= 2 => {
                // CRC of the whole header, with this field as zero.
                let mut whole = read::slice(h, 0, total)?.to_vec();
                whole.get_mut(ext.checked_add(1)?..ext.checked_add(3)?)?.fill(0);
                made.verified = read::le16(value, 0)? == check::crc16(&whole);
            }
            1 => made.name = value.to_vec(),
            2 => made.folder = value.iter().map(|b| if *b == 0xff { b'/' } else { *b }).collect(),
            0x50 => made.mode = read::le16(value, 0).map(u32::from),
            0x51 => {
                made.owner = read::le16(value, 2)
                    .zip(read::le16(value, 0))
                    .map(|(u, g)| (u.into(), g.into()));
            }
            0x54 => made.mtime = read::le32(value, 0).map(i64::from),
            _ => {}
        }
        extended = extended.checked_add(next)?;
        ext = ext.checked_add(next)?;
        let size_at = ext.checked_sub(tail)?;
        next = if wide {
            read::index(read::le32(h, size_at)?.into())?
        } else {
            read::le16(h, size_at)?.into()
        };
    }
    let mut start = total;
    if level == 1 {
        start = total.checked_add(extended)?;
        packed = packed.checked_sub(extended)?;
    }
    let start = at.checked_add(start)?;
    made.data = (start, start.checked_add(packed)?);
    Some(made)
}

/// A content whose method is told by the three letters between the dashes; none for one that is not read.
fn decoder(method: [u8; 5]) -> Option<packed::Decode> {
    Some(match &method {
        b"-lh0-" | b"-lz4-" => packed::copy,
        b"-lh1-" => lzhuf::decode,
        b"-lh3-" => lh3::decode,
        b"-lh4-" | b"-lh5-" => |i, n, b| lzh::decode(i, lzh::Variant::Lh5, n, b),
        b"-lh6-" => |i, n, b| lzh::decode(i, lzh::Variant::Lh6, n, b),
        b"-lh7-" => |i, n, b| lzh::decode(i, lzh::Variant::Lh7, n, b),
        b"-lz5-" => larc::lz5,
        b"-lzs-" => larc::lzs,
        _ => return None,
    })
}

/// Walks the headers; returns the end, their number, whether the end mark was there and all header sums were
/// right, and whether the last content is whole.
fn walk(
    data: &[u8],
    start: usize,
    budget: &Budget,
    mut visit: impl FnMut(&Head) -> bool,
) -> (usize, u64, bool, bool) {
    let (mut at, mut count, mut right) = (start, 0u64, true);
    loop {
        if budget.work(32).is_err() {
            return (at, count, false, true);
        }
        let Some(head) = head(data, at) else {
            let ended = read::u8(data, at) == Some(0);
            let end = at.saturating_add(usize::from(ended)).min(data.len());
            return (end, count, ended && right, at < data.len() || ended);
        };
        count = count.saturating_add(1);
        right &= head.verified;
        let more = visit(&head);
        at = head.data.1;
        if at > data.len() || !more {
            return (at.min(data.len()), count, false, at <= data.len());
        }
    }
}

impl Format for Lha {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const {
            &[
                Magic::anywhere(b"-lh0-").after(2),
                Magic::anywhere(b"-lh1-").after(2),
                Magic::anywhere(b"-lh3-").after(2),
                Magic::anywhere(b"-lh4-").after(2),
                Magic::anywhere(b"-lh5-").after(2),
                Magic::anywhere(b"-lh6-").after(2),
                Magic::anywhere(b"-lh7-").after(2),
                Magic::anywhere(b"-lhd-").after(2),
                Magic::anywhere(b"-lz4-").after(2),
                Magic::anywhere(b"-lz5-").after(2),
                Magic::anywhere(b"-lzs-").after(2),
            ]
        }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let first = head(data, at)?;
        let (end, count, ended, whole) = walk(data, at, budget, |_| true);
        if !first.verified && count < 2 {
            return None;
        }
        let proof = if ended { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
        let mut found = Candidate::new(at, end.checked_sub(at).filter(|n| *n > 0)?, proof);
        if !whole {
            found.problems.push(Problem::new(ProblemKind::Truncated, "the archive is cut off"));
        }
        Some(found)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        walk(region, 0, budget, |head| put(sink, member(region, head)));
    }
}

fn member(region: &Bytes, head: &Head) -> Entry {
    let [_, _, _, method, _] = head.method;
    let mut name = head.folder.clone();
    // Folders are separated by 0xff, or on DOS by a backslash.
    name.extend(head.name.iter().map(|b| if matches!(b, 0xff | b'\\') { b'/' } else { *b }));
    // A link is written as `name|target`.
    let link = head.mode.is_some_and(|m| m & 0o170_000 == 0o120_000);
    let split = name.iter().position(|b| *b == b'|').filter(|_| link);
    let target = split.and_then(|at| name.get(at.saturating_add(1)..)).map(escape);
    name.truncate(split.unwrap_or(name.len()));
    let kind = match target {
        Some(target) => EntryKind::Symlink { target },
        None if method == b'd' => EntryKind::Directory,
        None => EntryKind::File,
    };
    let mut made = entry(&name, kind);
    made.metadata = Metadata {
        mode: head.mode.map(|m| m & 0o7777),
        uid: head.owner.map(|o| o.0),
        gid: head.owner.map(|o| o.1),
        mtime: head.mtime,
        xattrs: Vec::new(),
    };
    let (from, to) = head.data;
    if to > region.len() {
        made.problems.push(Problem::new(ProblemKind::Truncated, "the content is cut off"));
    }
    if made.kind == EntryKind::File {
        let data = region.slice(from.min(region.len())..to.min(region.len()));
        if let Some(decode) = decoder(head.method) {
            let content = Summed { data, decode, size: head.size, crc: head.crc };
            made.blob = Blob::Lazy(std::sync::Arc::new(content));
        } else {
            let text = format!("compression method `{}` is not read", escape(&head.method));
            made.problems.push(Problem::new(ProblemKind::Unsupported, text));
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open_whole, scratch, tool, torture};

    /// What jLHA (Debian: libjlha-java 0.0.20050504) made of [`content`], by `CompressMethod.connectEncoder`.
    const STREAMS: [(&[u8; 5], &str); 4] = [
        (
            b"-lh1-",
            "de71b5807f4f68061fe3ebfaf8ddc5bbffc005b8aef6c4601eafc2bf75ac885aadbaf0ae6fa6eeabded745dc3b \
             88ba962c5dbea4174ce0510be4e845fbf942fa09f205fc58c2f8f8a17f130c67f0a58c3833461391d30611603c \
             308f74612a3363083442868e486127209938a0722f0c22b97461059aa46b00c1188f8c194260ab366c8dda3655 \
             dc40d9f16da30eda53314aedb63c72db1b551425b35b7bd1a1b3f51569136e45246e47b2c450c37443868dd48d \
             d94c3775ad419d498a774d4332dbda85190e0b7d5aa5b7e1bd4ab50b80f9281d051331018998945c19697060f9 \
             d19a2e10d41253f99f1f27cf914ca1e20b85f95db86185bab7c66371d8fc86472593ca6572d97cc667359bce67 \
             73d9f4824524934a2552c974c265349bdd3a9e4fe432392c9e51bade6faa1534cabf1cf94d02ffa80fe9907603 \
             0584c3623158cc7ac566b55bae576bd5fc0345a4d370385c4e37a3d5ecf772395cce7783c5e4f3762d4877a4eb \
             ab95ec296150b59118089c321b0eaf073d8369483364d278040649254b25d84c3552ad148b442263d1f8e47570 \
             b96231580c16d36d40a150dc1b73270d71eb2660da17b2a5fd91130e45d82172271d314f166ed61d31a6fd51b0 \
             d26bb31b6da72b44e6725bad996ea64b21ce9652a9186c251a8942f055aa922905aad182d846a311e8e44a2116 \
             8a3b9d9269265b297abc54aed8ac458ac0e6725aad14ebc3a9d15eab552b5588f4726530c3e97e895808",
        ),
        (
            b"-lh3-",
            "01bcbdef7be318c6318c6318c6318c6318c6318c6318a6318c6318c6318c62f8ace95a56b5ad6f8c6318c6318c \
             6318c6318c6318c6318c6318c6318c6318c5af8b5b18bdb18b62d8c6315be316c5b18c6318c6318c6318c6318c \
             6318c6318c6318c6318c6318c6318c6318c6318c6318c6318c6318c6318c6318c6318c6318c6318c6318c6318c \
             6318c6318c6318c6318c6318c6318c6318c6318c6318c6318c6318c0615a5295015ad4008450a0463a8d13e7af \
             de09012eea0ae27abff81debb145c1ff8b3a5c501e3e7d122031728d170305c3317011a2f2305e898bc60d17ac \
             c1790e5eab6a7a6c182463045268c0693060998c08368c112a42a1cc166d991581aa63049368c132b6458c609a \
             2d182a578503bf228dbf282067e765fa1c7e9199253bf62adbf6010ac240efdeb038f7e56da077f259c7f258af \
             22077f4041c7f533fb01dfdc006e4149927519336dfec6a99871dff406dbff22333753c000228b9128696420cc \
             b25b80321a00c60c99b70084219276666293933254ac3c6780504db80648656ef090b0d0f111c8ec7a3f2090c8 \
             a472492c9a4f2894caa572c96cba5f3098cca67349acd85379c4e6753b9e4f67d3fa0506854389a22003448926 \
             a2ab455168d47a4526954ba65369d4fa8546a553aa556ad57ac566b55bae576bd5fb0586c563b2596cd67b45a6 \
             d4ea2ed6ede5b2db18f6dd6f7d707f71b95cee8bc6dd6ed02ef06f179bd5eef97dbf5ff0181c160f0985c361f1 \
             189c562f198dc763f2191c964f2995cb65f3199cd66f399dcf67f41a1d168f49a5d369f51a9d56af59add76bf6 \
             1b1d96cf69b5db6df71b9dd6ef79bddf6ff81c1e170f89c5e371f91c9e572f99cde773fa1d1e974fa9d5eb75fb \
             1d9ed76fb9ddef77fc1e1f178fc9e5f379fd1e9f57afd9edf77bfe1f1f97cfe9f5fb7dff1f9fd7eff9fd78fdd9 \
             8080",
        ),
        (
            b"-lz5-",
            "ff303a207768617420ff6c696e6520302073bf617973206973fcf069ef64206279f5f56173207f77656c6c2e20 \
             31eff9a937fcff2601311307321e0931a9342b0f5501344207334d0932a9315b0f8501397207347d0a38d48b0f \
             550236a20735ad093335d4bb0fb50235d30736de09343228ec0fe602d208370f1a391d1f48149a361638401935 \
             364e1f7911369a710839711936337f1faa11384a410831eefa37fbffcc03301209481d0b2a0ff31332c7194c0a \
             385a0f1454049618317c0a398a0fcc046518a531ac0a39ba0f8c233934183146dd0a3130eb0ffd030219310e1a \
             2331311c1ffd04c62937073b4d1f98b4049329701a31327e1f2e13328c6029a11a3133af1f2e14410930304d0b \
             e11f5f13f9193231d73b142f92f73334ca394c0b35472f2b43389a9638326c2a31367a2f781332fe6238000102 \
             03040506ff0708090a0b0c0d0eff0f10111213141516ff1718191a1b1c1d1eff1f20212223242526ff2728292a \
             2b2c2d2eff2f30313233343536ff3738393a3b3c3d3eff3f40414243444546ff4748494a4b4c4d4eff4f505152 \
             53545556ff5758595a5b5c5d5eff5f60616263646566ff6768696a6b6c6d6eff6f70717273747576ff7778797a \
             7b7c7d7eff7f80818283848586ff8788898a8b8c8d8eff8f90919293949596ff9798999a9b9c9d9eff9fa0a1a2 \
             a3a4a5a6ffa7a8a9aaabacadaeffafb0b1b2b3b4b5b6ffb7b8b9babbbcbdbeffbfc0c1c2c3c4c5c6ffc7c8c9ca \
             cbcccdceffcfd0d1d2d3d4d5d6ffd7d8d9dadbdcdddeffdfe0e1e2e3e4e5e6ffe7e8e9eaebecedeeffeff0f1f2 \
             f3f4f5f6fff7f8f9fafbfcfdfe0fff656e64a559",
        ),
        (
            b"-lzs-",
            "984ea4177b4586e920b65a6dd65904c24173b0de6e720b4dcdff46d3649058af2fecd610040bbd96d96c974826 \
             2fe15377fdf02639880a44c807ea633402cf05539a021c4cc13aa653105cf08539c839c4d01fae70119e0aa936 \
             0a389a85754ce6a179e16a9350d489b06fd4d2641dbe1cc81a7337110b9c88f78a4309bbce0506a6b3614ff179 \
             39b0394ce45caa6d33180f1aa39c0214cc5fbee6eff9e198b30013a01ec02bf1f35990e45026dce016fc151865 \
             e6620fb73908bf0cc6166998856dce42efca3167226b3310deb1f900ecf0fd5103a98887d903008ef87eb163d4 \
             dcc23053bc2d18a5285c6cc5405ffc4b96644c3434564d80361e25cc08553004ec1e2f15f51faa994c4f630857 \
             cfdd668797409b935248f42b59c1cbccc89b6e633627bf1785991b1cc02030281c120b0683c22130a85c321b0e \
             87c42231289c522b168bc62331a8dc723b1e8fc82432291c924b2693ca2532a95cb25b2e97cc0df02673432e09 \
             b9b104ea773c9ecfa7f40a0d0a8744a2d1a8f48a4d2a974ca6d3a9f50a8d4aa754aad5aaf58acd6ab75caed7ab \
             f60b0d8ac764b2d9acf68b4daad76cb6dbadf70b8dcae774baddaef78bcdeaf77cbedfaff80c0e0b0784c2e1b0 \
             f88c4e2b178cc6e3b1f90c8e4b2794cae5b2f98cce6b379ccee7b3fa0d0e8b47a4d2e9b4fa8d4eab57acd6ebb5 \
             fb0d8ecb67b4daedb6fb8dceeb77bcdeefb7fc0e0f0b87c4e2f1b8fc8e4f2b97cce6f3b9fd0e8f4ba7d4eaf5ba \
             fd8ecf6bb7dceef7bbfe0f0f8bc7e4f2f9bcfe8f4fabd7ecf6fbbdff0f8fcbe7f4fafdbeff8fcfebf7fcfeffbf \
             f65b759169a8",
        ),
    ];

    fn content() -> Vec<u8> {
        let line = |n| format!("{n}: what line {} says is said by line {} as well. ", n * 7, n * n);
        let mut text = (0..24).map(line).collect::<String>().into_bytes();
        text.extend(0..=255);
        text.extend(b"end".repeat(5));
        text
    }

    fn archive(method: &[u8; 5], packed: &[u8], content: &[u8]) -> Vec<u8> {
        let mut body = method.to_vec();
        body.extend((packed.len() as u32).to_le_bytes());
        body.extend((content.len() as u32).to_le_bytes());
        body.extend([0, 0, 0x21, 0x28, 0x20, 0, 1, b'f']);
        body.extend(check::crc16(content).to_le_bytes());
        let sum = body.iter().fold(0_u8, |n, b| n.wrapping_add(*b));
        [&[body.len() as u8, sum], &body[..], packed, &[0]].concat()
    }

    #[test]
    fn methods_of_lharc_and_larc_as_lhasa_reads_them() {
        let content = content();
        for (method, hex) in STREAMS {
            let digit = |b: u8| char::from(b).to_digit(16).unwrap() as u8;
            let digits: Vec<u8> = hex.bytes().filter(|b| *b != b' ').map(digit).collect();
            let packed: Vec<u8> = digits.chunks(2).map(|two| two[0] << 4 | two[1]).collect();
            let file = archive(method, &packed, &content);
            assert_eq!(open_whole(&Lha, &file).content("f"), content);
            // The other readers at hand do not have `-lh3-`, or break at it.
            if method != b"-lh3-" {
                let dir = scratch();
                std::fs::write(dir.path().join("a.lzh"), &file).unwrap();
                let theirs = tool(dir.path(), "lhasa", "lhasa pq a.lzh");
                assert!(theirs == content, "{}", escape(method));
            }
            torture(&Lha, &file);
        }
        // Cut off, each is told to be.
        for (method, hex) in STREAMS {
            let file = archive(method, &hex.as_bytes()[..100], &content);
            let opened = open_whole(&Lha, &file);
            let loaded = opened.entries[0].blob.load(&Budget::ample());
            assert_ne!(loaded.problems, [], "{}", escape(method));
        }
    }
}
