//! What the first stage keeps about a content.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{accounts, certificates, elf, kernel, keys, packages, secrets};

/// Byte range in a content, end exclusive.
pub type Range = (u64, u64);

/// Everything the first stage found in one content. Places are byte ranges in that content; the second
/// stage makes locators of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    /// Records of an account store.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<accounts::Record>,
    /// Banners of kernels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub banners: Vec<kernel::Banner>,
    /// Certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<certificates::Read>,
    /// The content is a memory image of a program that failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub core_dump: bool,
    /// Packages of programming languages and build systems.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ecosystem: Vec<packages::Recorded>,
    /// Options of a kernel's configuration that are set.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kernel_config: BTreeMap<String, String>,
    /// Release that the configuration names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_release: Option<String>,
    /// Symbols of a kernel, without duplicates, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kernel_symbols: Vec<String>,
    /// Private keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<keys::Key>,
    /// Paths that a package owns, without leading slash.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owned: Vec<String>,
    /// Packages of a database.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<packages::Recorded>,
    /// The program it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<Box<elf::Program>>,
    /// Secret literals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<secrets::Found>,
    /// Blocks that say they are certificates but cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable_certificates: Vec<Range>,
    /// The content itself where it is text that the second stage parses: configurations and scripts.
    /// Bytes that are not UTF-8 are replaced one by one, so offsets stay right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Notes {
    /// Nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Formats whose own bytes hold nothing but entries that are inspected themselves.
const CONTAINERS: &[&str] = &[
    "android-boot",
    "android-sparse",
    "apk",
    "ar",
    "bzip2",
    "cab",
    "cpio",
    "cramfs",
    "deb",
    "ext",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "fat",
    "fat12",
    "fat16",
    "fat32",
    "fit",
    "gpt",
    "gzip",
    "iso9660",
    "jffs2",
    "lz4",
    "lzip",
    "lzma",
    "lzop",
    "mbr",
    "romfs",
    "rpm",
    "sevenzip",
    "squashfs",
    "tar",
    "trx",
    "ubi",
    "ubifs",
    "uimage",
    "xz",
    "yaffs2",
    "zip",
    "zlib",
    "zstd",
];

/// Whether `format` is one whose entries are inspected instead of its bytes.
pub(crate) fn is_container(format: &str) -> bool {
    CONTAINERS.binary_search(&format).is_ok()
}

/// Whether programs read the file at `path` as configuration. Folders are recognised anywhere in the path,
/// because a root file system may lie below a folder of its container.
pub(crate) fn is_configuration(path: &str, name: &str) -> bool {
    const FOLDERS: &[&str] = &[
        "etc",
        "etc_ro",
        "default",
        "defaults",
        "cron",
        "crontabs",
        "systemd",
        "sysctl.d",
        "boot",
        "init.d",
        "rc.d",
        "modprobe.d",
        "preinit",
        "conf",
        "config",
        "snmp",
        "ssh",
        "pam.d",
    ];
    const NAMES: &[&str] = &[
        "init",
        "linuxrc",
        "rc",
        "rcS",
        "rc.local",
        "preinit",
        "inittab",
        "authorized_keys",
        "fstab",
        "sshd_config",
        ".rhosts",
        ".shosts",
        "hosts.equiv",
        "nginx.conf",
        "lighttpd.conf",
        "boa.conf",
        "httpd.conf",
        "snmpd.conf",
        "sysctl.conf",
        "os-release",
        "config",
    ];
    let mut folders = path.split('/').rev().skip(1);
    NAMES.contains(&name)
        || folders.any(|f| FOLDERS.contains(&f))
        || [".conf", ".cfg", ".ini", ".service", ".socket", ".rules"]
            .iter()
            .any(|e| name.ends_with(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_sorted() {
        let mut sorted = CONTAINERS.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, CONTAINERS);
    }
}
