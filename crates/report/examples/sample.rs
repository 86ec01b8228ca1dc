//! Writes every view of the sample assessment into a folder, to look at: `sample FOLDER [hostile]`.

#[path = "../tests/support/sample.rs"]
mod sample;

use std::{fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().unwrap_or_else(|| "sample-report".into()));
    let a = match args.next().as_deref() {
        Some("hostile") => sample::hostile(),
        _ => sample::assessment(),
    };
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("report.html"), proofmark_report::html(&a))?;
    fs::write(folder.join("results.sarif"), proofmark_report::sarif(&a))?;
    fs::write(folder.join("sbom.cdx.json"), proofmark_report::cyclonedx(&a))?;
    fs::write(folder.join("findings.csv"), proofmark_report::csv::findings(&a))?;
    fs::write(folder.join("components.csv"), proofmark_report::csv::components(&a))?;
    fs::write(folder.join("terminal.txt"), proofmark_report::terminal(&a, 100, true))?;
    let issue = proofmark_report::Issue {
        author: "Example Laboratory",
        namespace: "https://example.org",
        moment: proofmark_report::newest_entry(&a).unwrap_or_default(),
    };
    fs::write(folder.join("sbom.spdx.json"), proofmark_report::spdx(&a, &issue))?;
    use proofmark_report::vex;
    fs::write(folder.join("vex.cdx.json"), vex::cyclonedx::write(&a))?;
    if let Some(text) = vex::openvex::write(&a, &issue) {
        fs::write(folder.join("openvex.json"), text)?;
    }
    if let Some(text) = vex::csaf::write(&a, &issue) {
        fs::write(folder.join("csaf.json"), text)?;
    }
    let out = io::BufWriter::new(fs::File::create(folder.join("assessment.json"))?);
    proofmark_report::json::write(&a, proofmark_report::json::Layout::Pretty, out)
}
