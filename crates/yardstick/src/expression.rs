//! Conditions: CEL text, checked against the declared names and lowered to a tree with resolved fields.
//!
//! The `cel` crate parses (standard grammar and precedence). The checker knows
//! every variable and every field with its type; what it does not know it
//! refuses with the place and the nearest name. What is left is evaluated here
//! instead of by the crate's interpreter for three reasons: an unknown answer
//! has to carry its reason through the expression, evaluation has to be bounded
//! by counted steps, and a field is found once when the rule is read, not in
//! each of some hundred thousand evaluations. A test holds the results against
//! the crate's own interpreter.

use std::collections::BTreeMap;

use cel::common::ast::{Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use crate::{
    node::{Arithmetic, Compare, Fold, Node, Test},
    value::{Got, Not, Type, Value},
    view::Field,
};

pub use crate::node::{Frame, OUT_OF_STEPS};

/// Longest expression accepted, in bytes.
const LONGEST: usize = 4096;
/// Deepest nesting accepted.
const DEEPEST: usize = 64;

/// Why an expression is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Byte offset in the expression.
    pub offset: usize,
    /// What is wrong, and what to write instead where that can be said.
    pub what: String,
}

/// Names an expression may use, in scope from the start.
#[derive(Debug, Default, Clone)]
pub struct Scope {
    /// Variables: name and type; the position is the slot that holds the value.
    pub variables: Vec<(String, Type)>,
    /// Constants of the catalogue, reached as `param.NAME`.
    pub parameters: BTreeMap<String, Parameter>,
}

/// A constant of a catalogue.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(untagged)]
pub enum Parameter {
    /// True or false.
    Bool(bool),
    /// A number.
    Int(i64),
    /// Text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// Text to text.
    Map(BTreeMap<String, String>),
}

/// A checked expression.
#[derive(Debug)]
pub struct Expression {
    node: Node,
    /// Type of its value.
    pub ty: Type,
}

/// Names of functions, for suggestions.
const FUNCTIONS: &[&str] = &[
    "has",
    "size",
    "string",
    "startsWith",
    "endsWith",
    "contains",
    "lowerAscii",
    "exists",
    "all",
    "exists_one",
    "filter",
    "map",
];

impl Expression {
    /// Reads and checks `text`.
    ///
    /// # Errors
    ///
    /// Anything that is not CEL, names something undeclared, or has a type that does not fit.
    pub fn read(text: &str, scope: &Scope) -> Result<Self, Refused> {
        if text.len() > LONGEST {
            let what = format!("the expression is longer than {LONGEST} bytes; split it");
            return Err(Refused { offset: LONGEST, what });
        }
        // Without macros, `has`, `exists` and the like stay the calls they are written as.
        let env = cel::Env::default();
        let program = env.compile(text).map_err(|e| {
            let first = e.errors.first();
            let (line, column) = first.map_or((1, 1), |e| e.pos);
            let line_start: usize = text
                .split_inclusive('\n')
                .take(usize::try_from(line - 1).unwrap_or(0))
                .map(str::len)
                .sum();
            let what = first.map_or_else(String::new, |e| e.msg.clone());
            let what = what.split(" expecting ").next().unwrap_or_default().to_owned();
            Refused {
                offset: (line_start + usize::try_from(column - 1).unwrap_or(0)).min(text.len()),
                what: format!("this is not a CEL expression: {what}"),
            }
        })?;
        let mut checker =
            Checker { scope, bound: Vec::new(), places: program.source_info(), depth: 0 };
        let (node, ty) = checker.lower(program.expression())?;
        Ok(Self { node, ty })
    }

    /// The same, and the value must be of type `want`.
    ///
    /// # Errors
    ///
    /// As [`Expression::read`].
    pub fn read_as(text: &str, scope: &Scope, want: Type) -> Result<Self, Refused> {
        let e = Self::read(text, scope)?;
        if e.ty == want {
            return Ok(e);
        }
        Err(Refused { offset: 0, what: format!("this is {}, but {want} is needed here", e.ty) })
    }

    /// The value with these variables; each node visited costs one step.
    ///
    /// # Errors
    ///
    /// Unknown or not applicable, with the reason; unknown too when the steps run out.
    pub fn value<'a>(&'a self, variables: &[Value<'a>], steps: &mut u64) -> Got<'a> {
        let mut frame = Frame { slots: variables.to_vec(), steps };
        self.node.eval(&mut frame)
    }
}

/// A condition's outcome: yes, no, or why neither.
pub type Outcome<'a> = Result<bool, Not<'a>>;

impl Expression {
    /// The value of a condition.
    ///
    /// # Errors
    ///
    /// As [`Expression::value`].
    pub fn holds<'a>(&'a self, frame: &mut Frame<'a, '_>) -> Outcome<'a> {
        self.node.truth(frame)
    }
}

struct Checker<'s> {
    scope: &'s Scope,
    bound: Vec<(String, Type)>,
    places: &'s SourceInfo,
    depth: usize,
}

type Lowered = Result<(Node, Type), Refused>;

impl Checker<'_> {
    fn refuse<T>(&self, at: &IdedExpr, what: impl Into<String>) -> Result<T, Refused> {
        let offset = self.places.offset_for(at.id).map_or(0, |(start, _)| start as usize);
        Err(Refused { offset, what: what.into() })
    }

    fn lower(&mut self, e: &IdedExpr) -> Lowered {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.refuse(e, format!("nested deeper than {DEEPEST}; split the expression"));
        }
        let out = match &e.expr {
            Expr::Literal(literal) => self.literal(e, literal),
            Expr::Ident(name) => self.variable(e, name),
            Expr::Select(s) => self.select(e, &s.operand, &s.field),
            Expr::List(list) => self.list(e, &list.elements),
            Expr::Call(call) => match &call.target {
                None => self.call(e, &call.func_name, &call.args),
                Some(target) => self.method(e, target, &call.func_name, &call.args),
            },
            _ => self.refuse(e, "maps and structures cannot be written in a condition"),
        };
        self.depth -= 1;
        out
    }

    fn literal(&self, e: &IdedExpr, literal: &LiteralValue) -> Lowered {
        Ok(match literal {
            LiteralValue::Boolean(b) => (Node::Bool(*b.inner()), Type::Bool),
            LiteralValue::Int(i) => (Node::Int(*i.inner()), Type::Int),
            LiteralValue::String(s) => (Node::Text(s.inner().to_owned()), Type::Text),
            _ => return self.refuse(e, "only texts, whole numbers, true and false can be written"),
        })
    }

    fn variable(&self, e: &IdedExpr, name: &str) -> Lowered {
        let all = self.scope.variables.iter().chain(&self.bound);
        if let Some((slot, ty)) = all
            .clone()
            .enumerate()
            .filter(|(_, (n, _))| n == name)
            .map(|(slot, (_, ty))| (slot, *ty))
            .last()
        {
            return Ok((Node::Slot(slot), ty));
        }
        let names = all.map(|(n, _)| n.as_str()).chain(["param"]);
        self.refuse(e, format!("no variable is called `{name}`{}", nearest(name, names)))
    }

    fn select(&mut self, e: &IdedExpr, operand: &IdedExpr, field: &str) -> Lowered {
        if matches!(&operand.expr, Expr::Ident(name) if name == "param") {
            let Some(value) = self.scope.parameters.get(field) else {
                let names = self.scope.parameters.keys().map(String::as_str);
                let near = nearest(field, names);
                return self.refuse(e, format!("the catalogue has no parameter `{field}`{near}"));
            };
            return Ok(match value.clone() {
                Parameter::Bool(v) => (Node::Bool(v), Type::Bool),
                Parameter::Int(v) => (Node::Int(v), Type::Int),
                Parameter::Text(v) => (Node::Text(v), Type::Text),
                Parameter::Texts(v) => (Node::Texts(v), Type::Texts),
                Parameter::Map(v) => (Node::Map(v), Type::Map),
            });
        }
        let (node, field) = self.field(e, operand, field)?;
        Ok((Node::Field(Box::new(node), field.get), field.ty))
    }

    fn field(
        &mut self,
        e: &IdedExpr,
        operand: &IdedExpr,
        field: &str,
    ) -> Result<(Node, &'static Field), Refused> {
        let (node, ty) = self.lower(operand)?;
        let Type::Record(record) = ty else {
            return self.refuse(e, format!("{ty} has no field `{field}`"));
        };
        match record.field(field) {
            Some(f) => Ok((node, f)),
            None => {
                let near = nearest(field, record.fields().map(|f| f.name));
                self.refuse(e, format!("`{}` has no field `{field}`{near}", record.name))
            }
        }
    }

    fn list(&mut self, e: &IdedExpr, elements: &[IdedExpr]) -> Lowered {
        let mut texts = Vec::new();
        for element in elements {
            match &element.expr {
                Expr::Literal(LiteralValue::String(s)) => texts.push(s.inner().to_owned()),
                _ => return self.refuse(element, "outside of `in`, a list holds texts only"),
            }
        }
        if texts.is_empty() {
            return self.refuse(e, "an empty list has no use here");
        }
        Ok((Node::Texts(texts), Type::Texts))
    }

    fn of(&mut self, e: &IdedExpr, want: Type) -> Result<Node, Refused> {
        let (node, ty) = self.lower(e)?;
        if ty == want { Ok(node) } else { self.refuse(e, format!("this is {ty}, not {want}")) }
    }

    fn pair(&mut self, a: &IdedExpr, b: &IdedExpr, want: Type) -> Result<Box<[Node; 2]>, Refused> {
        Ok(Box::new([self.of(a, want)?, self.of(b, want)?]))
    }

    fn call(&mut self, e: &IdedExpr, name: &str, args: &[IdedExpr]) -> Lowered {
        match (name, args) {
            (operators::LOGICAL_NOT, [a]) => {
                Ok((Node::Not(Box::new(self.of(a, Type::Bool)?)), Type::Bool))
            }
            (operators::NEGATE, [a]) => {
                Ok((Node::Negate(Box::new(self.of(a, Type::Int)?)), Type::Int))
            }
            (operators::LOGICAL_AND, [a, b]) => {
                let [a, b] = *self.pair(a, b, Type::Bool)?;
                Ok((Node::And(Box::new(a), Box::new(b)), Type::Bool))
            }
            (operators::LOGICAL_OR, [a, b]) => {
                let [a, b] = *self.pair(a, b, Type::Bool)?;
                Ok((Node::Or(Box::new(a), Box::new(b)), Type::Bool))
            }
            (operators::CONDITIONAL, [c, a, b]) => {
                let c = self.of(c, Type::Bool)?;
                let (a, ty) = self.lower(a)?;
                let b = self.of(b, ty)?;
                Ok((Node::If(Box::new([c, a, b])), ty))
            }
            (operators::EQUALS, [a, b]) => self.compare(e, Compare::Eq, a, b),
            (operators::NOT_EQUALS, [a, b]) => self.compare(e, Compare::Ne, a, b),
            (operators::LESS, [a, b]) => self.compare(e, Compare::Lt, a, b),
            (operators::LESS_EQUALS, [a, b]) => self.compare(e, Compare::Le, a, b),
            (operators::GREATER, [a, b]) => self.compare(e, Compare::Gt, a, b),
            (operators::GREATER_EQUALS, [a, b]) => self.compare(e, Compare::Ge, a, b),
            (operators::ADD, [a, b]) => {
                let (first, ty) = self.lower(a)?;
                let second = self.of(b, ty)?;
                let both = Box::new([first, second]);
                match ty {
                    Type::Int => Ok((Node::Arithmetic(Arithmetic::Add, both), ty)),
                    Type::Text => Ok((Node::Concat(both), ty)),
                    _ => self.refuse(e, format!("{ty} cannot be added")),
                }
            }
            (operators::SUBSTRACT, [a, b]) => self.arithmetic(Arithmetic::Sub, a, b),
            (operators::MULTIPLY, [a, b]) => self.arithmetic(Arithmetic::Mul, a, b),
            (operators::DIVIDE, [a, b]) => self.arithmetic(Arithmetic::Div, a, b),
            (operators::MODULO, [a, b]) => self.arithmetic(Arithmetic::Rem, a, b),
            (operators::IN, [a, b]) => self.within(a, b),
            (operators::INDEX, [a, b]) => {
                let map = self.of(a, Type::Map)?;
                let key = self.of(b, Type::Text)?;
                Ok((Node::Index(Box::new([map, key])), Type::Text))
            }
            ("has", [a]) => self.has(e, a),
            ("size", [a]) => self.size(a),
            ("string", [a]) => Ok((Node::Show(Box::new(self.of(a, Type::Int)?)), Type::Text)),
            ("date", [a]) => Ok((Node::Date(Box::new(self.of(a, Type::Text)?)), Type::Int)),
            _ if FUNCTIONS.contains(&name) => {
                self.refuse(e, format!("`{name}` is not called this way"))
            }
            _ => {
                let near = nearest(name, FUNCTIONS.iter().copied());
                self.refuse(e, format!("no function is called `{name}`{near}"))
            }
        }
    }

    fn compare(&mut self, e: &IdedExpr, how: Compare, a: &IdedExpr, b: &IdedExpr) -> Lowered {
        let (first, ty) = self.lower(a)?;
        let ordered = !matches!(how, Compare::Eq | Compare::Ne);
        let fits = match ty {
            Type::Int | Type::Text => true,
            Type::Bool => !ordered,
            _ => false,
        };
        if !fits {
            return self.refuse(e, format!("{ty} cannot be compared in this way"));
        }
        let second = self.of(b, ty)?;
        Ok((Node::Compare(how, Box::new([first, second])), Type::Bool))
    }

    fn arithmetic(&mut self, how: Arithmetic, a: &IdedExpr, b: &IdedExpr) -> Lowered {
        Ok((Node::Arithmetic(how, self.pair(a, b, Type::Int)?), Type::Int))
    }

    fn within(&mut self, a: &IdedExpr, b: &IdedExpr) -> Lowered {
        let (needle, ty) = self.lower(a)?;
        // A written list may hold any expressions of the needle's type.
        if let Expr::List(list) = &b.expr
            && matches!(ty, Type::Text | Type::Int)
        {
            let all = list.elements.iter().map(|x| self.of(x, ty)).collect::<Result<_, _>>()?;
            return Ok((Node::InList(Box::new(needle), all), Type::Bool));
        }
        let (list, list_ty) = self.lower(b)?;
        if list_ty.element() != Some(ty) && (ty, list_ty) != (Type::Text, Type::Map) {
            return self.refuse(b, format!("{ty} cannot be in {list_ty}"));
        }
        Ok((Node::In(Box::new([needle, list])), Type::Bool))
    }

    fn has(&mut self, e: &IdedExpr, a: &IdedExpr) -> Lowered {
        let Expr::Select(s) = &a.expr else {
            return self.refuse(e, "`has` asks for a field: has(account.uid)");
        };
        let (node, field) = self.field(a, &s.operand, &s.field)?;
        if !field.optional {
            let why = if field.open {
                "where its answer is unknown the condition becomes unknown by itself"
            } else {
                "it is always recorded"
            };
            return self.refuse(a, format!("`has` cannot ask for `{}`: {why}", field.name));
        }
        Ok((Node::Has(Box::new(node), field.get), Type::Bool))
    }

    fn size(&mut self, a: &IdedExpr) -> Lowered {
        let (node, ty) = self.lower(a)?;
        if !matches!(ty, Type::Text | Type::Map) && ty.element().is_none() {
            return self.refuse(a, format!("{ty} has no size"));
        }
        Ok((Node::Size(Box::new(node)), Type::Int))
    }

    fn method(
        &mut self,
        e: &IdedExpr,
        target: &IdedExpr,
        name: &str,
        args: &[IdedExpr],
    ) -> Lowered {
        let test = match name {
            "startsWith" => Some(Test::Starts),
            "endsWith" => Some(Test::Ends),
            "contains" => Some(Test::Contains),
            _ => None,
        };
        let fold = match name {
            "exists" => Some(Fold::Exists),
            "all" => Some(Fold::All),
            "exists_one" => Some(Fold::One),
            "filter" => Some(Fold::Filter),
            "map" => Some(Fold::Map),
            _ => None,
        };
        match (test, fold, args) {
            (Some(test), _, [a]) => {
                Ok((Node::Test(test, self.pair(target, a, Type::Text)?), Type::Bool))
            }
            (_, Some(fold), [variable, body]) => self.fold(e, fold, target, variable, body),
            _ => match (name, args) {
                ("size", []) => self.size(target),
                ("lowerAscii", []) => {
                    Ok((Node::Lower(Box::new(self.of(target, Type::Text)?)), Type::Text))
                }
                _ if FUNCTIONS.contains(&name) => {
                    self.refuse(e, format!("`{name}` is not called this way"))
                }
                _ => {
                    let near = nearest(name, FUNCTIONS.iter().copied());
                    self.refuse(e, format!("no function is called `{name}`{near}"))
                }
            },
        }
    }

    fn fold(
        &mut self,
        e: &IdedExpr,
        fold: Fold,
        target: &IdedExpr,
        variable: &IdedExpr,
        body: &IdedExpr,
    ) -> Lowered {
        let (list, ty) = self.lower(target)?;
        let Some(element) = ty.element() else {
            return self.refuse(target, format!("{ty} has no elements"));
        };
        let Expr::Ident(name) = &variable.expr else {
            return self.refuse(variable, "here stands the name of a new variable");
        };
        let slot = self.scope.variables.len() + self.bound.len();
        self.bound.push((name.clone(), element));
        let lowered = self.lower(body);
        self.bound.pop();
        let (body_node, body_ty) = lowered?;
        let result = match fold {
            Fold::Exists | Fold::All | Fold::One => Some(Type::Bool),
            Fold::Filter => Some(ty),
            Fold::Map => body_ty.list(),
        };
        if !matches!(fold, Fold::Map) && body_ty != Type::Bool {
            return self.refuse(body, format!("this is {body_ty}, not {}", Type::Bool));
        }
        match result {
            Some(result) => Ok((Node::Fold(fold, Box::new([list, body_node]), slot), result)),
            None => self.refuse(e, format!("a list of {body_ty} has no use here")),
        }
    }
}

/// `; did you mean ...?` with the closest of `names`, or the choice where nothing is close.
pub(crate) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    let best = names.iter().map(|n| (distance(name, n), *n)).min();
    match best {
        Some((d, n)) if d <= name.len().max(n.len()) / 3 + 1 => format!("; did you mean `{n}`?"),
        Some(_) => format!("; known are {}", names.join(", ")),
        None => String::new(),
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let next = (corner + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}
