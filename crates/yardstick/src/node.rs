//! Evaluation of a checked expression: three-valued, and bounded by counted steps.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    expression::Outcome,
    value::{Got, Not, Subject, Value},
    view::Getter,
};

/// A checked expression's tree; fields are resolved, types are known to fit.
#[derive(Debug)]
pub(crate) enum Node {
    Bool(bool),
    Int(i64),
    Text(String),
    Texts(Vec<String>),
    Map(BTreeMap<String, String>),
    Slot(usize),
    Field(Box<Node>, Getter),
    Has(Box<Node>, Getter),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If(Box<[Node; 3]>),
    Compare(Compare, Box<[Node; 2]>),
    Arithmetic(Arithmetic, Box<[Node; 2]>),
    Negate(Box<Node>),
    Concat(Box<[Node; 2]>),
    In(Box<[Node; 2]>),
    InList(Box<Node>, Vec<Node>),
    Index(Box<[Node; 2]>),
    Size(Box<Node>),
    Test(Test, Box<[Node; 2]>),
    Lower(Box<Node>),
    Show(Box<Node>),
    Date(Box<Node>),
    Fold(Fold, Box<[Node; 2]>, usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Test {
    Starts,
    Ends,
    Contains,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fold {
    Exists,
    All,
    One,
    Filter,
    Map,
}

/// Variables and remaining steps of an evaluation.
#[derive(Debug)]
pub struct Frame<'a, 's> {
    /// Values by slot; those bound by an expression come after the declared ones.
    pub slots: Vec<Value<'a>>,
    /// Steps left.
    pub steps: &'s mut u64,
}

/// What an evaluation says whose steps ran out.
pub const OUT_OF_STEPS: &str = "the budget of evaluation steps ran out";

/// A text or list where the checker promised one; reached only if the checker is wrong.
fn wrong<'a>() -> Not<'a> {
    Not::Known(Cow::Borrowed("a value has another type than its rule was checked for"))
}

impl Node {
    pub(crate) fn truth<'a>(&'a self, f: &mut Frame<'a, '_>) -> Outcome<'a> {
        match self.eval(f)? {
            Value::Bool(b) => Ok(b),
            _ => Err(wrong()),
        }
    }

    fn int<'a>(&'a self, f: &mut Frame<'a, '_>) -> Result<i64, Not<'a>> {
        match self.eval(f)? {
            Value::Int(i) => Ok(i),
            _ => Err(wrong()),
        }
    }

    fn text<'a>(&'a self, f: &mut Frame<'a, '_>) -> Result<Cow<'a, str>, Not<'a>> {
        match self.eval(f)? {
            Value::Text(t) => Ok(t),
            _ => Err(wrong()),
        }
    }

    fn record<'a>(&'a self, f: &mut Frame<'a, '_>) -> Result<Subject<'a>, Not<'a>> {
        match self {
            // The usual case, without copying the value.
            Self::Slot(slot) => match f.slots.get(*slot) {
                Some(Value::Record(s)) => Ok(*s),
                _ => Err(wrong()),
            },
            _ => match self.eval(f)? {
                Value::Record(s) => Ok(s),
                _ => Err(wrong()),
            },
        }
    }

    pub(crate) fn eval<'a>(&'a self, f: &mut Frame<'a, '_>) -> Got<'a> {
        match f.steps.checked_sub(1) {
            Some(left) => *f.steps = left,
            None => return Err(Not::Known(Cow::Borrowed(OUT_OF_STEPS))),
        }
        Ok(match self {
            Self::Bool(v) => Value::Bool(*v),
            Self::Int(v) => Value::Int(*v),
            Self::Text(v) => Value::Text(Cow::Borrowed(v)),
            Self::Texts(v) => Value::Texts(v),
            Self::Map(v) => Value::Map(v),
            Self::Slot(slot) => f.slots.get(*slot).cloned().ok_or_else(wrong)?,
            Self::Field(record, get) => get(record.record(f)?)?,
            Self::Has(record, get) => {
                Value::Bool(!matches!(get(record.record(f)?), Err(Not::Recorded(_))))
            }
            Self::Not(a) => Value::Bool(!a.truth(f)?),
            Self::And(a, b) => Value::Bool(match a.truth(f) {
                Ok(false) => false,
                Ok(true) => b.truth(f)?,
                Err(why) => match b.truth(f) {
                    Ok(false) => false,
                    _ => return Err(why),
                },
            }),
            Self::Or(a, b) => Value::Bool(match a.truth(f) {
                Ok(true) => true,
                Ok(false) => b.truth(f)?,
                Err(why) => match b.truth(f) {
                    Ok(true) => true,
                    _ => return Err(why),
                },
            }),
            Self::If(parts) => {
                let [condition, yes, no] = &**parts;
                if condition.truth(f)? { yes.eval(f)? } else { no.eval(f)? }
            }
            Self::Compare(how, both) => {
                let [a, b] = &**both;
                let (a, b) = (a.eval(f)?, b.eval(f)?);
                let order = match (&a, &b) {
                    (Value::Int(a), Value::Int(b)) => a.cmp(b),
                    (Value::Text(a), Value::Text(b)) => a.cmp(b),
                    (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
                    _ => return Err(wrong()),
                };
                Value::Bool(match how {
                    Compare::Eq => order.is_eq(),
                    Compare::Ne => order.is_ne(),
                    Compare::Lt => order.is_lt(),
                    Compare::Le => order.is_le(),
                    Compare::Gt => order.is_gt(),
                    Compare::Ge => order.is_ge(),
                })
            }
            Self::Arithmetic(how, both) => {
                let (a, b) = (both[0].int(f)?, both[1].int(f)?);
                let result = match how {
                    Arithmetic::Add => a.checked_add(b),
                    Arithmetic::Sub => a.checked_sub(b),
                    Arithmetic::Mul => a.checked_mul(b),
                    Arithmetic::Div => a.checked_div(b),
                    Arithmetic::Rem => a.checked_rem(b),
                };
                let why = "a number left its range";
                Value::Int(result.ok_or(Not::Known(Cow::Borrowed(why)))?)
            }
            Self::Negate(a) => Value::Int(a.int(f)?.saturating_neg()),
            Self::Concat(both) => {
                let (a, b) = (both[0].text(f)?, both[1].text(f)?);
                Value::Text(Cow::Owned(format!("{a}{b}")))
            }
            Self::In(both) => {
                let needle = both[0].eval(f)?;
                let list = both[1].eval(f)?;
                Value::Bool(match (&needle, &list) {
                    (Value::Text(t), Value::Texts(all)) => all.iter().any(|x| x == t),
                    (Value::Text(t), Value::Map(map)) => map.contains_key(&**t),
                    (_, Value::List(all)) => all.contains(&needle),
                    _ => return Err(wrong()),
                })
            }
            Self::InList(needle, all) => {
                let needle = needle.eval(f)?;
                let mut found = false;
                for element in all {
                    found = found || element.eval(f)? == needle;
                }
                Value::Bool(found)
            }
            Self::Index(both) => {
                let map = match both[0].eval(f)? {
                    Value::Map(map) => map,
                    _ => return Err(wrong()),
                };
                let key = both[1].text(f)?;
                match map.get(&*key) {
                    Some(value) => Value::Text(Cow::Borrowed(value)),
                    None => return Err(Not::Recorded("the key asked for")),
                }
            }
            Self::Size(a) => Value::Int(match a.eval(f)? {
                Value::Text(t) => i64::try_from(t.chars().count()).unwrap_or(i64::MAX),
                other => i64::try_from(length(&other)).unwrap_or(i64::MAX),
            }),
            Self::Test(test, both) => {
                let (a, b) = (both[0].text(f)?, both[1].text(f)?);
                Value::Bool(match test {
                    Test::Starts => a.starts_with(&*b),
                    Test::Ends => a.ends_with(&*b),
                    Test::Contains => a.contains(&*b),
                })
            }
            Self::Lower(a) => Value::Text(Cow::Owned(a.text(f)?.to_ascii_lowercase())),
            Self::Show(a) => Value::Text(Cow::Owned(a.int(f)?.to_string())),
            Self::Date(a) => {
                let why = "a text is not a date of the form YYYY-MM-DD";
                Value::Int(seconds(&a.text(f)?).ok_or(Not::Known(Cow::Borrowed(why)))?)
            }
            Self::Fold(fold, both, slot) => return both[1].fold(*fold, &both[0], *slot, f),
        })
    }

    /// Goes over the elements of `list` with `self` as the body.
    fn fold<'a>(
        &'a self,
        fold: Fold,
        list: &'a Self,
        slot: usize,
        f: &mut Frame<'a, '_>,
    ) -> Got<'a> {
        let list = list.eval(f)?;
        f.slots.truncate(slot);
        let mut open = None;
        let mut count = 0_usize;
        let mut kept = Vec::new();
        for i in 0..length(&list) {
            let Some(element) = element(&list, i) else { break };
            f.slots.push(element.clone());
            let got = self.eval(f);
            f.slots.truncate(slot);
            match (fold, got) {
                (Fold::Map, got) => kept.push(got?),
                (Fold::Exists, Ok(Value::Bool(true))) => return Ok(Value::Bool(true)),
                (Fold::All, Ok(Value::Bool(false))) => return Ok(Value::Bool(false)),
                (_, Ok(Value::Bool(yes))) => {
                    count += usize::from(yes);
                    if yes && matches!(fold, Fold::Filter) {
                        kept.push(element);
                    }
                }
                (_, Ok(_)) => return Err(wrong()),
                (_, Err(why)) => open = open.or(Some(why)),
            }
        }
        match (fold, open) {
            (_, Some(why)) => Err(why),
            (Fold::Exists, None) => Ok(Value::Bool(false)),
            (Fold::All, None) => Ok(Value::Bool(true)),
            (Fold::One, None) => Ok(Value::Bool(count == 1)),
            (Fold::Filter | Fold::Map, None) => Ok(Value::List(kept)),
        }
    }
}

/// Seconds since 1970-01-01 UTC at the start of the day `YYYY-MM-DD`, from 1970 to 9999.
fn seconds(date: &str) -> Option<i64> {
    let mut parts = date.split('-').map(|p| p.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if date.len() != 10
        || !(1970..=9999).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
    {
        return None;
    }
    // Years start in March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400)
}

fn length(list: &Value<'_>) -> usize {
    match list {
        Value::Texts(v) => v.len(),
        Value::Map(v) => v.len(),
        Value::Records(v) => v.len(),
        Value::List(v) => v.len(),
        _ => 0,
    }
}

/// Element `i`.
fn element<'a>(list: &Value<'a>, i: usize) -> Option<Value<'a>> {
    match list {
        Value::Texts(v) => v.get(i).map(|t| Value::Text(Cow::Borrowed(t))),
        Value::Records(v) => v.get(i).map(|s| Value::Record(*s)),
        Value::List(v) => v.get(i).cloned(),
        _ => None,
    }
}
