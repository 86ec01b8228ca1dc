//! The JSON Schema of `assessment.json`, derived from the types that write it.
//!
//! `cargo xtask schema` writes `docs/schema/assessment-1.0.json`; `cargo xtask schema --check` (and a test)
//! fails if the committed file is not what the types say.

use std::{fs, path::PathBuf};

use proofmark_model::{Assessment, SCHEMA_VERSION};
use serde_json::{Value, json};

use crate::Outcome;

fn path() -> PathBuf {
    crate::root().join(format!("docs/schema/assessment-{SCHEMA_VERSION}.json"))
}

/// The schema as text.
fn text() -> Result<String, String> {
    let mut schema = schemars::schema_for!(Assessment);
    schema.insert("$id".into(), json!(format!("urn:proofmark:assessment:{SCHEMA_VERSION}")));
    schema.insert("title".into(), json!(format!("Proofmark assessment {SCHEMA_VERSION}")));
    let value: Value = schema.into();
    let mut text = serde_json::to_string_pretty(&value).map_err(|e| e.to_string())?;
    text.push('\n');
    Ok(text)
}

/// Writes or checks the file.
pub fn run(args: &[String]) -> Outcome {
    let path = path();
    let (text, shown) = (text()?, path.display());
    if args.iter().any(|a| a == "--check") {
        let old = fs::read_to_string(&path).map_err(|e| format!("{shown}: {e}"))?;
        return if old == text {
            Ok(())
        } else {
            Err(format!("{shown} is not what the types say: run `cargo xtask schema`"))
        };
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    fs::write(&path, text).map_err(|e| format!("{shown}: {e}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_schema_is_what_the_types_say() {
        super::run(&["--check".to_owned()]).unwrap();
    }
}
