//! What a condition means: unknown answers, bounds, and agreement with the interpreter of the `cel` crate.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use cel::{Context, Program, Value as Cel};
use common::{build, cases, trait_fact};
use proofmark_model::{Observation, fact::Fact};
use proofmark_yardstick::{
    expression::{Expression, Frame, OUT_OF_STEPS, Parameter, Scope},
    value::{Not, Subject, Type, Value},
    view::KINDS,
};
use proptest::prelude::*;

fn scope() -> Scope {
    let record = |name: &str| Type::Record(KINDS.iter().find(|r| r.name == name).unwrap());
    let list = |name: &str| Type::Records(KINDS.iter().find(|r| r.list == name).unwrap());
    Scope {
        variables: vec![
            ("executable".into(), record("executable")),
            ("accounts".into(), list("accounts")),
            ("kernel".into(), record("kernel")),
        ],
        parameters: BTreeMap::from([
            ("ends".into(), Parameter::Map(BTreeMap::from([("6.6".into(), "2027-12-31".into())]))),
            ("names".into(), Parameter::Texts(vec!["aarch64".into(), "mips".into()])),
        ]),
    }
}

/// One of each, with answers of all four kinds.
fn world() -> Vec<Observation> {
    let mut case = cases().remove(0);
    case.facts = serde_json::from_value(serde_json::json!([
        {"fact": "executable", "stack_protector": "unknown", "fortify": "not-applicable", "control_flow": "no"},
        {"fact": "account", "user": "root", "uid": 0},
        {"fact": "account", "user": "web", "uid": "", "login": "unknown"},
        {"fact": "kernel"},
    ]))
    .unwrap();
    build(&case).observations
}

fn with<R>(text: &str, look: impl FnOnce(Result<Value<'_>, Not<'_>>) -> R) -> R {
    let seen = world();
    let accounts: Vec<Subject<'_>> = seen
        .iter()
        .filter(|o| matches!(o.fact, Fact::Account(_)))
        .map(|o| Subject::Fact(o, 0))
        .collect();
    let find = |kind: &str| {
        Value::Record(Subject::Fact(seen.iter().find(|o| o.fact.kind() == kind).unwrap(), 0))
    };
    let e = Expression::read(text, &scope()).unwrap_or_else(|r| panic!("{text}: {r:?}"));
    let names = [find("executable"), Value::Records(&accounts), find("kernel")];
    look(e.value(&names, &mut 100_000))
}

fn show(text: &str) -> String {
    with(text, |got| match got {
        Ok(v) => v.to_string(),
        Err(Not::Known(why)) => format!("unknown: {why}"),
        Err(Not::Applicable(_)) => "not applicable".into(),
        Err(Not::Recorded(what)) => format!("not recorded: {what}"),
    })
}

#[test]
fn unknown_decides_nothing_that_is_decided() {
    for (text, expected) in [
        ("executable.stack_protector", "unknown: a reason"),
        ("!executable.stack_protector", "unknown: a reason"),
        ("executable.stack_protector || true", "yes"),
        ("true || executable.stack_protector", "yes"),
        ("executable.stack_protector && false", "no"),
        ("executable.stack_protector && true", "unknown: a reason"),
        ("executable.fortify", "not applicable"),
        ("executable.fortify && executable.control_flow", "no"),
        ("executable.control_flow", "no"),
        ("accounts.exists(a, a.login)", "unknown: a reason"),
        ("accounts.exists(a, a.login || a.user == 'root')", "yes"),
        ("accounts.all(a, a.login)", "no"),
        ("accounts.exists(a, a.uid == 0)", "yes"),
        ("accounts.exists(a, a.uid == 7)", "not recorded: uid"),
        ("accounts.exists(a, has(a.uid) && a.uid == 7)", "no"),
        ("accounts.exists_one(a, a.user == 'web')", "yes"),
        ("size(accounts.filter(a, has(a.uid)))", "1"),
        ("accounts.map(a, a.user)", "root, web"),
        ("executable.stack_protector ? 1 : 2", "unknown: a reason"),
        ("'MMU' in kernel.config", "yes"),
        ("kernel.config['NONE'] == 'y'", "not recorded: the key asked for"),
        ("kernel.branch in param.ends", "yes"),
        ("date(param.ends[kernel.branch])", "1830211200"),
        ("date('1970-01-01')", "0"),
        ("date('2000-02-29')", "951782400"),
        ("date('yesterday')", "unknown: a text is not a date of the form YYYY-MM-DD"),
        ("executable.machine in param.names", "yes"),
        ("executable.compiler + string(executable.compiler_major)", "gcc13"),
        ("9223372036854775807 + 1", "unknown: a number left its range"),
        ("1 / 0", "unknown: a number left its range"),
    ] {
        assert_eq!(show(text), expected, "{text}");
    }
}

#[test]
fn steps_are_bounded() {
    let text = "accounts.all(a, accounts.all(b, accounts.all(c, a.user != b.user + c.user)))";
    let seen = world();
    let account = seen.iter().find(|o| matches!(o.fact, Fact::Account(_))).unwrap();
    let many = vec![Subject::Fact(account, 0); 1000];
    let e = Expression::read(text, &scope()).unwrap();
    let names = [Value::Int(0), Value::Records(&many), Value::Int(0)];
    let mut steps = 10_000;
    let got = e.holds(&mut Frame { slots: names.to_vec(), steps: &mut steps });
    assert!(matches!(got, Err(Not::Known(why)) if why == OUT_OF_STEPS));
    assert_eq!(steps, 0);
}

#[test]
fn traits_other_than_the_declared_ones_are_not_seen() {
    let o = trait_fact("vendor", "x", common::ROOT);
    assert!(KINDS.iter().all(|r| r.name != "trait"));
    assert!(proofmark_yardstick::view::kind_of(&o.fact).is_none());
}

/// The same names as plain values for the `cel` crate's interpreter.
fn reference(text: &str) -> Cel {
    let program = Program::compile(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let mut context = Context::default();
    let map = |pairs: Vec<(&str, Cel)>| -> Cel {
        Cel::from(
            pairs
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<std::collections::HashMap<_, _>>(),
        )
    };
    let account =
        |user: &str| map(vec![("user", user.to_owned().into()), ("superuser", false.into())]);
    let executable = map(vec![
        ("machine", "aarch64".to_owned().into()),
        ("bits", 64_i64.into()),
        ("privileged", false.into()),
        ("control_flow", false.into()),
    ]);
    context.add_variable_from_value("executable", executable);
    context.add_variable_from_value("accounts", Cel::from(vec![account("root"), account("web")]));
    program.execute(&context).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Conditions without unknown answers.
fn condition() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        (0..100_i64).prop_map(|n| n.to_string()),
        Just("executable.bits".to_owned()),
        Just("size(accounts)".to_owned()),
        Just("size(executable.machine)".to_owned()),
    ];
    let number = number.prop_recursive(2, 6, 2, |inner| {
        (inner.clone(), prop_oneof![Just("+"), Just("-"), Just("*")], inner)
            .prop_map(|(a, op, b)| format!("({a} {op} {b})"))
    });
    let text = prop_oneof![
        Just("executable.machine".to_owned()),
        "[a-z6]{0,3}".prop_map(|t| format!("'{t}'"))
    ];
    let compare = prop_oneof![Just("=="), Just("!="), Just("<"), Just("<="), Just(">"), Just(">=")];
    let leaf = prop_oneof![
        Just("true".to_owned()),
        Just("executable.privileged".to_owned()),
        Just("executable.control_flow".to_owned()),
        (number.clone(), compare.clone(), number.clone())
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (text.clone(), compare, text.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (
            text.clone(),
            prop_oneof![Just("contains"), Just("startsWith"), Just("endsWith")],
            text.clone()
        )
            .prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
        (text.clone(), text.clone(), text.clone())
            .prop_map(|(a, b, c)| format!("{a} in [{b}, {c}]")),
        (prop_oneof![Just("exists"), Just("all"), Just("exists_one")], text)
            .prop_map(|(f, t)| format!("accounts.{f}(a, a.user.contains({t}) || a.superuser)")),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_the_interpreter_of_the_cel_crate(text in condition()) {
        let ours = with(&text, |got| matches!(got, Ok(Value::Bool(true))));
        prop_assert_eq!(Cel::Bool(ours), reference(&text), "{}", text);
    }

    #[test]
    fn no_text_panics(text in "[a-z.()\\[\\]{}'\"!&|<>=+*/?: 0-9-]{0,40}") {
        let _ = Expression::read(&text, &scope());
    }
}
