//! Values of conditions: what a field can hold, and what it means that it holds nothing.
//!
//! A condition has one of four outcomes: true, false, *unknown* because of a
//! reason, or *not applicable* because of a reason. The last two travel through
//! an expression as [`Not`]; `&&`, `||`, `exists` and `all` decide without the
//! unknown part where they can (Kleene's three-valued logic, which is also
//! CEL's rule for errors beside an operator that is already decided).

use std::{borrow::Cow, collections::BTreeMap, fmt};

use proofmark_model::{
    Evidence, Observation, Tri, Vulnerability, fact::Fact, fact::Listen, finding::Strength,
};

use crate::view::Record;

/// Type of an expression, known before anything is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// True or false.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// Text.
    Text,
    /// Texts in a fixed order.
    Texts,
    /// Numbers in a fixed order.
    Ints,
    /// Text to text.
    Map,
    /// A fact, a listener, the image: something with fields.
    Record(&'static Record),
    /// Several of one kind.
    Records(&'static Record),
}

impl Type {
    /// Type of an element, for what can be iterated (a map can be asked, not iterated).
    #[must_use]
    pub fn element(self) -> Option<Self> {
        match self {
            Self::Texts => Some(Self::Text),
            Self::Ints => Some(Self::Int),
            Self::Records(r) => Some(Self::Record(r)),
            _ => None,
        }
    }

    /// The list of such elements.
    #[must_use]
    pub fn list(self) -> Option<Self> {
        match self {
            Self::Text => Some(Self::Texts),
            Self::Int => Some(Self::Ints),
            Self::Record(r) => Some(Self::Records(r)),
            _ => None,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("a condition"),
            Self::Int => f.write_str("a number"),
            Self::Text => f.write_str("text"),
            Self::Texts => f.write_str("a list of texts"),
            Self::Ints => f.write_str("a list of numbers"),
            Self::Map => f.write_str("a map of text to text"),
            Self::Record(r) => write!(f, "a record `{}`", r.name),
            Self::Records(r) => write!(f, "a list of `{}`", r.name),
        }
    }
}

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Not<'a> {
    /// The field is empty in this fact: nothing was recorded.
    Recorded(&'static str),
    /// It cannot be known, because of this.
    Known(Cow<'a, str>),
    /// The question does not arise, because of this.
    Applicable(&'a str),
}

impl fmt::Display for Not<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded(field) => write!(f, "{field} is not recorded"),
            Self::Known(why) => f.write_str(why),
            Self::Applicable(why) => write!(f, "does not arise: {why}"),
        }
    }
}

/// A value, or why there is none.
pub type Got<'a> = Result<Value<'a>, Not<'a>>;

/// A value of an expression; borrows from facts and rules.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A number.
    Int(i64),
    /// Text.
    Text(Cow<'a, str>),
    /// Texts of a fact.
    Texts(&'a [String]),
    /// Text to text.
    Map(&'a BTreeMap<String, String>),
    /// Something with fields.
    Record(Subject<'a>),
    /// All facts of a kind.
    Records(&'a [Subject<'a>]),
    /// A list that an expression made.
    List(Vec<Value<'a>>),
}

impl PartialEq for Value<'_> {
    /// Records are never compared; the checker refuses it.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(v) => f.write_str(if *v { "yes" } else { "no" }),
            Self::Int(v) => write!(f, "{v}"),
            Self::Text(v) => f.write_str(v),
            Self::Texts(v) => f.write_str(&v.join(", ")),
            Self::Map(v) => {
                let pairs: Vec<_> = v.iter().map(|(k, v)| format!("{k}={v}")).collect();
                f.write_str(&pairs.join(", "))
            }
            Self::Record(_) => f.write_str("(a record)"),
            Self::Records(v) => write!(f, "{} records", v.len()),
            Self::List(v) => {
                let all: Vec<_> = v.iter().map(ToString::to_string).collect();
                f.write_str(&all.join(", "))
            }
        }
    }
}

/// What a record stands for.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A fact, and its number of peers: for a component, distinct versions of the same name in the image; for
    /// an account, other names with the same user id in the same store; for an executable, components
    /// identified in the same content; 0 for other kinds.
    Fact(&'a Observation, u32),
    /// A place where a service would listen.
    Listen(&'a Listen),
    /// A vulnerability matched to a component.
    Vulnerability(&'a Vulnerability),
    /// The whole image.
    Image(&'a crate::view::ImageView),
}

impl<'a> Subject<'a> {
    /// The fact, if it is one.
    #[must_use]
    pub fn fact(self) -> Option<&'a Fact> {
        match self {
            Self::Fact(o, _) => Some(&o.fact),
            _ => None,
        }
    }

    /// Where it was seen; none for the image and for a part of a fact.
    #[must_use]
    pub fn evidence(self) -> Option<&'a Evidence> {
        match self {
            Self::Fact(o, _) => Some(&o.evidence),
            Self::Vulnerability(v) => Some(&v.evidence),
            Self::Listen(_) | Self::Image(_) => None,
        }
    }

    /// Observed or inferred.
    #[must_use]
    pub fn strength(self) -> Strength {
        match self {
            Self::Fact(o, _) => o.strength,
            Self::Vulnerability(v) if v.grade <= proofmark_model::Grade::Version => {
                Strength::Inferred
            }
            _ => Strength::Observed,
        }
    }
}

/// Text.
pub fn text(v: &str) -> Got<'_> {
    Ok(Value::Text(Cow::Borrowed(v)))
}

/// Text that may not be recorded.
pub fn maybe<'a>(field: &'static str, v: &'a Option<String>) -> Got<'a> {
    v.as_deref().ok_or(Not::Recorded(field)).and_then(text)
}

/// A number.
pub fn int<'a>(v: impl TryInto<i64>) -> Got<'a> {
    Ok(Value::Int(v.try_into().unwrap_or(i64::MAX)))
}

/// A number that may not be recorded.
pub fn maybe_int<'a, T: TryInto<i64>>(field: &'static str, v: Option<T>) -> Got<'a> {
    v.ok_or(Not::Recorded(field)).and_then(int)
}

/// True or false.
pub fn boolean<'a>(v: bool) -> Got<'a> {
    Ok(Value::Bool(v))
}

/// Yes and no as true and false; the other two stay what they are.
pub fn tri(v: &Tri) -> Got<'_> {
    match v {
        Tri::Yes => Ok(Value::Bool(true)),
        Tri::No => Ok(Value::Bool(false)),
        Tri::Unknown(why) => Err(Not::Known(Cow::Borrowed(why))),
        Tri::NotApplicable(why) => Err(Not::Applicable(why)),
    }
}
