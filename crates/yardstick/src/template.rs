//! Sentences of a rule, with expressions in braces.

use crate::{
    expression::{Expression, Refused, Scope},
    value::{Type, Value},
};

/// Text with expressions in braces, such as `{account.user} opens without a password`.
#[derive(Debug)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Value(Expression),
}

impl Template {
    /// Reads and checks a template; `{{` and `}}` stand for braces.
    ///
    /// # Errors
    ///
    /// As [`Expression::read`], and braces that do not close.
    pub fn read(text: &str, scope: &Scope) -> Result<Self, Refused> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = 0;
        while let Some(c) = text.get(rest..).and_then(|t| t.chars().next()) {
            let doubled = text.get(rest + 1..).is_some_and(|t| t.starts_with(c));
            if matches!(c, '{' | '}') && doubled {
                plain.push(c);
                rest += 2;
            } else if c == '{' {
                let body = text.get(rest + 1..).unwrap_or_default();
                let Some(end) = body.find('}') else {
                    let what = "this brace is not closed; write `{{` for a brace".to_owned();
                    return Err(Refused { offset: rest, what });
                };
                let inside = body.get(..end).unwrap_or_default();
                let shifted = |r: Refused| Refused { offset: rest + 1 + r.offset, ..r };
                let e = Expression::read(inside, scope).map_err(shifted)?;
                if matches!(e.ty, Type::Record(_) | Type::Records(_)) {
                    let what = format!("{} cannot be shown; name a field of it", e.ty);
                    return Err(Refused { offset: rest + 1, what });
                }
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Value(e));
                rest += end + 2;
            } else {
                plain.push(c);
                rest += c.len_utf8();
            }
        }
        parts.push(Part::Text(plain));
        Ok(Self { parts })
    }

    /// The text; a value that is not there shows as why it is not.
    #[must_use]
    pub fn fill(&self, variables: &[Value<'_>]) -> String {
        let mut steps = 10_000;
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(t) => out.push_str(t),
                Part::Value(e) => match e.value(variables, &mut steps) {
                    Ok(v) => out.push_str(&v.to_string()),
                    Err(why) => out.push_str(&format!("({why})")),
                },
            }
        }
        out
    }
}
