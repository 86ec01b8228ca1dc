//! What people read: the terminal's screen and the HTML file.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use proofmark_report::{html, json, terminal};
use support::{empty, large, sample};

#[test]
fn the_screen_after_a_run() {
    insta::assert_snapshot!("terminal", terminal(&sample::assessment(), 100, false));
}

#[test]
fn the_screen_in_colour() {
    let text = terminal(&sample::assessment(), 60, true);
    insta::assert_snapshot!("terminal-colour", text.replace('\u{1b}', "␛"));
}

#[test]
fn the_screen_without_anything() {
    insta::assert_snapshot!("terminal-empty", terminal(&empty(), 80, false));
}

#[test]
fn no_name_commands_the_terminal() {
    let text = terminal(&sample::hostile(), 100, false);
    for c in text.chars() {
        assert!(c == '\n' || !c.is_control(), "{c:?} in {text}");
        assert!(!('\u{202a}'..='\u{202e}').contains(&c), "{c:?} reorders the line");
    }
}

#[test]
fn lines_fit_the_terminal() {
    for width in [40, 60, 80, 120] {
        for line in terminal(&sample::assessment(), width, false).lines() {
            // The bar of the coverage stands before a region's place.
            let place = line.trim_start_matches([' ', '█', '░', '▒']).starts_with("gateway")
                || line.contains("sha256");
            assert!(place || line.chars().count() <= width, "{width}: {line}");
        }
    }
}

/// The parts of an HTML text: tags (name and attributes) as the tokenizer of a browser would see them.
fn tags(html: &str) -> Vec<(String, Vec<String>)> {
    let mut out = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let name: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "!/".contains(*c)).collect();
        let mut attributes = Vec::new();
        let mut quoted = None;
        let mut word = String::new();
        let mut end = rest.len();
        for (i, c) in rest.char_indices().skip(name.len()) {
            match (quoted, c) {
                (Some(q), c) if c == q => quoted = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => quoted = Some(c),
                (None, '>') => {
                    end = i + 1;
                    break;
                }
                (None, c) if c.is_whitespace() => {
                    if !word.is_empty() {
                        attributes.push(std::mem::take(&mut word));
                    }
                }
                (None, c) => word.push(c),
            }
        }
        if !word.is_empty() {
            attributes.push(word);
        }
        rest = &rest[end..];
        // What stands in these is not markup until they end.
        if name == "style" || name == "script" {
            let close = format!("</{name}");
            rest = &rest[rest.find(&close).unwrap_or(rest.len())..];
        }
        out.push((name, attributes));
    }
    out
}

#[test]
fn hostile_names_stay_text() {
    // Names may change how many rows there are (equal names join), never which tags and attributes exist.
    let kinds = |html: &str| {
        let mut all: Vec<_> = tags(html)
            .into_iter()
            .map(|(name, attributes)| {
                let mut names: Vec<String> = attributes
                    .iter()
                    .map(|a| a.split('=').next().unwrap_or_default().to_owned())
                    .collect();
                names.sort();
                (name, names)
            })
            .collect();
        all.sort();
        all.dedup();
        all
    };
    let page = html(&sample::hostile());
    let ordinary = kinds(&html(&sample::assessment()));
    for kind in kinds(&page) {
        assert!(
            ordinary.contains(&kind),
            "markup that the ordinary report does not have: {kind:?}"
        );
    }
    assert_eq!(page.matches("<script").count(), 1);
    assert!(!page.contains("<img"));
    assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}') && !page.contains('\0'));
}

#[test]
fn the_tag_reader_sees_an_intruder() {
    assert_eq!(tags("<p>a</p><img src=x onerror=alert(1)>")[2].1, ["src=x", "onerror=alert(1)"]);
}

#[test]
fn nothing_is_fetched_from_anywhere() {
    let page = html(&sample::assessment());
    for word in ["http://", "https://", "url(", "@import", "src=", "<link", "<iframe", "eval("] {
        assert!(!page.contains(word), "{word}");
    }
    for (name, attributes) in tags(&page) {
        for a in attributes {
            assert!(!a.starts_with("on") && !a.starts_with("style="), "<{name} {a}>");
        }
    }
}

#[test]
fn the_policy_allows_exactly_this_style_and_script() {
    let page = html(&sample::assessment());
    let between = |open: &str, close: &str| {
        let start = page.find(open).unwrap() + open.len();
        &page[start..start + page[start..].find(close).unwrap()]
    };
    let digest = |text: &str| {
        let out = std::process::Command::new("openssl")
            .args(["dgst", "-sha256", "-binary"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .and_then(|mut child| {
                std::io::Write::write_all(child.stdin.as_mut().unwrap(), text.as_bytes())?;
                drop(child.stdin.take());
                child.wait_with_output()
            })
            .expect("openssl is needed by this test: apt-get install openssl");
        base64(&out.stdout)
    };
    let policy = between("Content-Security-Policy\" content=\"", "\"");
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
            digest(between("<style>", "</style>")),
            digest(between("<script>", "</script>"))
        )
    );
}

fn base64(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|b| format!("{b:08b}")).collect();
    let alphabet: Vec<char> =
        ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let mut out: String = bits
        .as_bytes()
        .chunks(6)
        .map(|c| {
            let n = c.iter().fold(0, |n, b| n * 2 + usize::from(b - b'0')) << (6 - c.len());
            alphabet[n]
        })
        .collect();
    while !out.len().is_multiple_of(4) {
        out.push('=');
    }
    out
}

#[test]
fn every_link_leads_somewhere() {
    for a in [sample::assessment(), sample::hostile(), large()] {
        let page = html(&a);
        let mut rest = page.as_str();
        while let Some(at) = rest.find("href=\"#") {
            rest = &rest[at + 7..];
            let id = &rest[..rest.find('"').unwrap()];
            // The sections that exist only where there is something to show.
            assert!(page.contains(&format!("id=\"{id}\"")), "#{id}");
        }
    }
}

#[test]
fn every_finding_stands_with_its_command() {
    let a = sample::assessment();
    let page = html(&a);
    for f in a.judgements.iter().flat_map(|j| &j.findings) {
        assert!(page.contains(&f.id), "{}", f.id);
        let line = format!("proofmark show gateway-2.4.1.img &#39;{}&#39;", f.evidence.first());
        assert!(page.contains(&line), "{line}");
    }
    for j in a.judgements.iter().filter_map(|j| j.question.as_ref()) {
        assert!(page.contains(j.as_str()), "{j}");
    }
}

#[test]
fn a_large_assessment_gives_a_readable_file() {
    let a = large();
    let mut bytes = Vec::new();
    json::write(&a, json::Layout::Compact, &mut bytes).unwrap();
    assert!(bytes.len() > 20_000_000, "the test's premise: {}", bytes.len());
    let page = html(&a);
    assert!(page.len() < 2_000_000, "{}", page.len());
    assert!(page.contains("left out here; all of them are in <code>assessment.json</code>"));
}

#[test]
fn an_empty_assessment_is_still_a_page() {
    let page = html(&empty());
    assert!(page.contains("No requirement was applied"));
    assert!(page.ends_with("</html>\n"));
}

#[test]
fn what_the_producer_claims_is_shown_and_harmless() {
    let html = proofmark_report::html(&sample::assessment());
    assert!(html.contains("producer.cdx.json") && html.contains("claimed, not seen"));
    assert!(html.contains("&lt;claimed&gt;") && !html.contains("<claimed>"));
}
