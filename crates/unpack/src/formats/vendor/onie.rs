//! ONIE installers and updaters, among them SONiC images: a shell script, the line `exit_marker`, a payload.
//!
//! Establishes: the marker and the SHA-1 that the script compares with. The digest stands in the same file, so
//! it proves integrity only. The payload (mostly tar) is an entry.

use bytes::Bytes;
use memchr::memmem;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::{
        layout::{Layout, Reader},
        sums,
    },
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "onie-installer",
        name: "ONIE installer",
        family: Family::Vendor,
        revision: 1,
        metadata: "platform, installer or updater",
        integrity: "sha1 named by the script",
        limits: "the payload reaches to the end of its content; a detached signature is not part of it",
        sources: &["opencomputeproject/onie, installer/sharch_body.sh"],
    },
    magics: &[Magic::start(b"#!/bin/sh\n"), Magic::start(b"#!/bin/bash\n")],
    read: read_layout,
};

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    const MARKER: &[u8] = b"\nexit_marker\n";
    let window = data.get(..data.len().min(1 << 20))?;
    budget.work(window.len() as u64).ok()?;
    let start = memmem::find(window, MARKER)?.checked_add(MARKER.len())?;
    let script = data.get(..start)?;
    let value = |key: &[u8]| {
        let line = script.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(key))?;
        Some(String::from_utf8_lossy(line).trim().trim_matches('"').to_owned())
    };
    let sha1 = value(b"payload_sha1=").filter(|text| text.len() == 40)?;
    let payload = data.get(start..)?;
    let right = budget
        .work(payload.len() as u64)
        .is_ok()
        .then(|| sums::hex(&sums::sha1(payload)) == sha1.to_lowercase());
    let proof =
        if right == Some(true) { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
    let mut layout = Layout::new(data, data.len() as u64, proof);
    let updater =
        memmem::find(data.get(..data.len().min(1 << 22))?, b"ONIE-UPDATER-COOKIE").is_some();
    layout.attribute("kind", if updater { "updater" } else { "installer" });
    layout.integrity("hash", "sha1", right);
    layout.part(data, "installer.sh", 0, start as u64);
    layout.part(data, "payload", start as u64, payload.len() as u64);
    if read::slice(data, start, 1).is_none() {
        layout.problem(proofmark_model::ProblemKind::Truncated, "nothing stands behind the marker");
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    #[test]
    fn our_own_installer_is_read_back() {
        let payload = noise(3000, 66);
        let script = format!(
            "#!/bin/sh\npayload_sha1={}\nsed -e '1,/^exit_marker$/d' $0 | tar xf -\nexit 0\nexit_marker\n",
            sums::hex(&sums::sha1(&payload))
        );
        let mut file = [script.as_bytes(), &payload].concat();
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(opened.content("payload"), payload);
        assert_eq!(opened.attribute("integrity-correct"), "yes");
        torture(&FORMAT, &file);
        let last = file.len() - 1;
        file[last] ^= 1;
        assert_eq!(open(&FORMAT, &file).attribute("integrity-correct"), "no");
        assert!(open_at(&FORMAT, b"#!/bin/sh\necho hello\nexit_marker\n", 0).is_none());
    }
}
