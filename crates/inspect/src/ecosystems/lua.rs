//! LuaRocks: `package` and `version` of an installed rockspec, where they are plain strings.

use super::{licence, package};
use crate::packages::Recorded;

pub fn is(path: &str, name: &str) -> bool {
    name.ends_with(".rockspec") && path.contains("rocks")
}

/// The string that is assigned to `key` at the start of a line.
fn assigned<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let value = line.trim_start().strip_prefix(key)?.trim_start().strip_prefix('=')?.trim();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        value.get(1..)?.split(quote).next()
    })
}

pub fn read(text: &str) -> Vec<Recorded> {
    let found = assigned(text, "package")
        .zip(assigned(text, "version"))
        .and_then(|(n, v)| package("luarocks", n, v, (0, text.len() as u64)));
    let license = assigned(text, "license").and_then(licence);
    found
        .into_iter()
        .map(|mut r| {
            r.package.license = license.clone();
            r
        })
        .collect()
}
