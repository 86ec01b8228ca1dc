//! Makes a full-size NVD from real records: `scale FEED.json.gz COUNT FOLDER`.
//!
//! The records of the feed are repeated under new ids, 16,000 in a file, until there are COUNT of them; each copy has
//! its own product names, so that the index grows as it does with real data.
#![allow(clippy::print_stdout)]

use std::{
    fs::{self, File},
    io::{BufWriter, Read as _, Write as _},
    path::Path,
};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};

const BEGIN: &str = "{\"cve\":{\"id\":\"CVE-";
const IN_FILE: usize = 16_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [feed, count, folder] = args.as_slice() else {
        return Err("scale FEED.json.gz COUNT FOLDER".into());
    };
    let count: usize = count.parse()?;
    let mut text = String::new();
    MultiGzDecoder::new(File::open(feed)?).read_to_string(&mut text)?;
    let starts: Vec<usize> = text.match_indices(BEGIN).map(|(at, _)| at).collect();
    let end = text.rfind("]}").ok_or("this is no NVD feed")?;
    let records: Vec<&str> = starts
        .iter()
        .zip(starts.iter().skip(1).chain([&end]))
        .map(|(a, b)| text[*a..*b].trim_end_matches([',', '\n', ' ']))
        .collect();
    if records.is_empty() {
        return Err("this is no NVD feed".into());
    }
    fs::create_dir_all(folder)?;
    let mut bytes = 0_u64;
    for (n, first) in (0..count).step_by(IN_FILE).enumerate() {
        let path = Path::new(folder).join(format!("nvdcve-2.0-{}.json.gz", 2002 + n));
        let mut out = BufWriter::new(GzEncoder::new(File::create(path)?, Compression::fast()));
        let here = IN_FILE.min(count - first);
        write!(
            out,
            "{{\"resultsPerPage\":{here},\"startIndex\":0,\"totalResults\":{here},\"format\":\"NVD_CVE\",\"version\":\"2.0\",\"vulnerabilities\":["
        )?;
        for i in first..first + here {
            let record = records[i % records.len()];
            let rest = record[BEGIN.len()..].split_once('"').ok_or("a record without an id")?.1;
            let rest = match i / records.len() {
                0 => rest.to_owned(),
                copy => rest.replace(
                    "\"criteria\":\"cpe:2.3:a:",
                    &format!("\"criteria\":\"cpe:2.3:a:c{copy}_"),
                ),
            };
            let comma = if i > first { "," } else { "" };
            let text = format!("{comma}{BEGIN}{}-{:05}\"{rest}", 2002 + n, i - first + 1);
            bytes += text.len() as u64;
            out.write_all(text.as_bytes())?;
        }
        out.write_all(b"]}")?;
        out.into_inner()?.finish()?;
    }
    println!("{count} records, {bytes} bytes");
    Ok(())
}
