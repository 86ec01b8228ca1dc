//! Imports files into a database and shows what is there: `import DATABASE PATH...`.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;

use proofmark_advisories::{Database, Key, Store, import};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let database = args.next().ok_or("import DATABASE PATH...")?;
    let paths: Vec<_> = args.collect();
    let summary = import(&database, &paths, &Default::default(), &mut |_| {})?;
    println!("{summary:#?}");
    let database = Database::open(&database)?;
    database.contents().iter().for_each(|f| println!("{f:?}"));
    for key in [
        Key::Cpe("openssl".into(), "openssl".into()),
        Key::product("linux"),
        Key::id("CVE-2014-0160"),
    ] {
        println!("{key:?}: {}", database.about(&key)?.len());
    }
    println!("{:?}", database.threat("CVE-2014-0160")?);
    Ok(())
}
