//! Every built-in yardstick loads, and what does not check is refused with its place and a suggestion.
#![allow(clippy::unwrap_used)]

use proofmark_yardstick::{Catalogue, explain};

#[test]
fn every_builtin_loads() {
    let mut ids = 0;
    for name in Catalogue::names() {
        let catalogue = Catalogue::builtin(name).unwrap_or_else(|e| panic!("{e}"));
        assert!(!catalogue.requirements.is_empty());
        ids += catalogue.requirements.len();
    }
    assert!(ids >= 50, "{ids}");
    let known = explain("acc-01").unwrap();
    assert!(known.to_string().contains("IEC 62443-4-2 CR 1.5"));
    assert!(explain("ACC-99").is_none());
    let error = Catalogue::builtin("baselin").unwrap_err();
    assert!(error.to_string().contains("did you mean `baseline`?"), "{error}");
}

/// A yardstick of one requirement, whose `fail` stands on line 26.
fn yardstick(fail: &str) -> String {
    format!(
        r#"[catalogue]
id = "mine"
revision = 1
title = "Mine"
about = "One requirement."
[catalogue.parameters]
least = 8
[group]
id = "MY"
title = "Mine"
[[requirement]]
id = "MY-01"
revision = 1
title = "T"
severity = "low"
reach = "I3"
sources = ["s"]
checks = "c"
why = "w"
false-positives = ["f"]
remedy = "r"
question = "q"
pass = "p"
none = "pass"
[[requirement.check]]
{fail}
over = "account"
message = "{{account.user}}"
"#
    )
}

fn refused(fail: &str) -> String {
    Catalogue::load("mine.toml", &yardstick(fail)).unwrap_err().to_string()
}

#[test]
fn a_good_one_loads() {
    let text = yardstick("fail = 'account.login && account.candidates_tried < param.least'");
    let mine = Catalogue::load("mine.toml", &text).unwrap();
    assert_eq!(mine.version().version, "1");
    assert_eq!(mine.version().sha256, Some(mine.digest));
}

#[test]
fn what_does_not_check_is_refused_with_its_place() {
    for (fail, expected) in [
        (
            "fail = 'acount.login'",
            "mine.toml:26:9: no variable is called `acount`; did you mean `account`?",
        ),
        (
            "fail = 'account.logn'",
            "mine.toml:26:16: `account` has no field `logn`; did you mean `login`?",
        ),
        (
            "fail = 'account.login && account.vendor'",
            "mine.toml:26:33: `account` has no field `vendor`; known are",
        ),
        ("fail = 'vendor == \"x\"'", "mine.toml:26:9: no variable is called `vendor`"),
        ("fail = 'country == \"x\"'", "mine.toml:26:9: no variable is called `country`"),
        (
            "fail = 'account.uid'",
            "mine.toml:26:9: this is a number, but a condition is needed here",
        ),
        ("fail = 'account.uid == \"0\"'", "mine.toml:26:24: this is text, not a number"),
        ("fail = 'account.login &&'", "mine.toml:26:25: this is not a CEL expression"),
        ("fail = 'param.lest < 3'", "the catalogue has no parameter `lest`; did you mean `least`?"),
        ("fail = 'has(account.login)'", "becomes unknown by itself"),
        ("fail = 'has(account.user)'", "it is always recorded"),
        (
            "fail = 'account.user.startWith(\"a\")'",
            "no function is called `startWith`; did you mean `startsWith`?",
        ),
        ("fail = 'sevices.exists(s, s.at_boot)'", "did you mean `services`?"),
        (
            "fail = 'services.exists(s, s.at_bot)'",
            "mine.toml:26:29: `service` has no field `at_bot`",
        ),
        ("fial = 'true'", "unknown field `fial`"),
        ("fail = 3", "mine.toml:26:"),
        ("", "could never say anything"),
        ("inconclusive = 'true'", "needs `inconclusive` and `doubt` together"),
    ] {
        let error = refused(fail);
        assert!(error.contains(expected), "{fail}\n  is    {error}\n  not   {expected}");
        assert!(!error.contains('\n'), "{error}");
    }
    // An expression over several lines: the line is that of the name.
    let error = refused("fail = \'\'\'\naccount.login\n  && account.lgin\'\'\'");
    assert!(error.starts_with("mine.toml:28:13: "), "{error}");
}

#[test]
fn what_is_no_yardstick_is_refused() {
    let refuse = |text: &str| Catalogue::load("x.toml", text).unwrap_err().to_string();
    assert!(refuse("").contains("no [catalogue] table"));
    assert!(refuse("[catalogue").starts_with("x.toml:1:"));
    let twice = format!("{0}{1}", yardstick("fail = 'true'"), {
        let y = yardstick("fail = 'true'");
        y[y.find("[[requirement]]").unwrap()..].to_owned()
    });
    assert!(refuse(&twice).contains("stands in this yardstick twice"));
    let unknown = "[catalogue]\nid='a'\nrevision=1\ntitle='t'\nabout='a'\n[[use]]\nyardstick='baseline'\nids=['ACC-1']\n";
    let error = refuse(unknown);
    assert!(
        error.starts_with("x.toml:8:6: `baseline` has no requirement `ACC-1`; did you mean"),
        "{error}"
    );
    let taken = Catalogue::load("x.toml", &unknown.replace("ACC-1", "ACC-01")).unwrap();
    assert_eq!(taken.requirements.len(), 1);
}

/// Deep, long and odd texts are refused, never a panic.
#[test]
fn hostile_conditions_are_refused() {
    let deep = format!("fail = '{}true{}'", "(".repeat(3000), ")".repeat(3000));
    for fail in [
        deep.as_str(),
        &format!("fail = 'true{}'", " && true".repeat(2000)),
        "fail = '\u{0}'",
        "fail = 'account.uid / 0 == 1 ? 1'",
        "fail = '{1: 2}'",
        "fail = 'a.b.c{d: 1}'",
        "fail = '\"\\'",
        "fail = 'account[\"user\"]'",
    ] {
        let error = refused(fail);
        assert!(error.starts_with("mine.toml:"), "{error}");
    }
}
