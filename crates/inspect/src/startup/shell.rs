//! A shallow reader of shell scripts: which commands stand in them, and under
//! which conditions.
//!
//! It knows quoting, lists (`;`, `&&`, `||`, `|`, `&`), `if`, `case`, loops and
//! functions, assignments of constants, and guards such as `[ -x F ] || exit`. It
//! does not run anything: what it cannot evaluate is a condition in words.

use std::collections::BTreeMap;

use crate::{
    notes::Range,
    text::{self, words},
};

/// Commands read of one script.
const MOST: usize = 4000;

/// A simple command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its words, constants expanded, redirections removed.
    pub words: Vec<String>,
    /// The line it stands in.
    pub range: Range,
    /// What must hold for it to run.
    pub conditions: Vec<Condition>,
}

/// A condition, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The test command.
    pub words: Vec<String>,
    /// It must fail rather than succeed.
    pub negated: bool,
}

/// Constants assigned so far.
pub type Variables = BTreeMap<String, String>;

#[derive(Debug)]
enum Block {
    If(Condition),
    Case { start: bool, branch: Branch },
    Loop(Condition),
    Group { stops: bool, guards: usize },
}

#[derive(Debug, PartialEq)]
enum Branch {
    None,
    Taken,
    Skipped,
    Unknown(Condition),
}

/// Replaces `$NAME`, `${NAME}` and `${NAME:-default}` where the value is known.
#[must_use]
pub fn expand(word: &str, variables: &Variables) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, default, tail) = if let Some(inner) = after.strip_prefix('{') {
            let Some((inner, tail)) = inner.split_once('}') else {
                out.push('$');
                rest = after;
                continue;
            };
            let (name, default) =
                inner.split_once(":-").map_or((inner, None), |(n, d)| (n, Some(d)));
            (name, default, tail)
        } else {
            let end =
                after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            let (name, tail) = after.split_at(end);
            (name, None, tail)
        };
        match variables.get(name).map(String::as_str).or(default) {
            Some(value) if !name.is_empty() => out.push_str(value),
            _ => {
                out.push('$');
                rest = after;
                continue;
            }
        }
        rest = tail;
        if out.len() > 4096 {
            break;
        }
    }
    out.push_str(rest);
    out
}

/// Pieces of a line between list operators, with the operator that stands before each.
fn pieces(line: &str) -> Vec<(&'static str, &str)> {
    let mut out = Vec::new();
    let (mut start, mut operator) = (0_usize, ";");
    let mut quote = None;
    let mut depth = 0_u32;
    let mut chars = line.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => {
                chars.next();
            }
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '(') if line.get(..i).is_some_and(|b| b.ends_with('$')) => {
                depth = depth.saturating_add(1)
            }
            (None, ')') if depth > 0 => depth = depth.saturating_sub(1),
            (None, _) if depth > 0 => {}
            (None, '#')
                if line.get(..i).is_none_or(|b| b.is_empty() || b.ends_with([' ', '\t', ';'])) =>
            {
                out.push((operator, line.get(start..i).unwrap_or("")));
                return out;
            }
            (None, ';' | '|' | '&') => {
                // `>&` and `&>` belong to redirections.
                let redirects = c == '&'
                    && (line.get(..i).is_some_and(|b| b.ends_with(['>', '<']))
                        || chars.peek().is_some_and(|(_, n)| *n == '>'));
                if redirects {
                    continue;
                }
                out.push((operator, line.get(start..i).unwrap_or("")));
                let double = chars.next_if(|(_, n)| *n == c).is_some();
                operator = match (c, double) {
                    ('&', true) => "&&",
                    ('|', true) => "||",
                    ('|', false) => "|",
                    (';', true) => ";;",
                    _ => ";",
                };
                start = i.saturating_add(if double { 2 } else { 1 });
            }
            _ => {}
        }
    }
    out.push((operator, line.get(start..).unwrap_or("")));
    out
}

fn redirection(word: &str) -> bool {
    let w = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&');
    w.starts_with(['>', '<'])
}

/// The words of a simple command, without redirections, constants expanded.
fn simple(piece: &str, variables: &Variables) -> Vec<String> {
    let mut out = Vec::new();
    let mut skip = false;
    for word in words(piece) {
        if std::mem::take(&mut skip) {
            continue;
        }
        if redirection(&word) {
            skip = word.ends_with(['>', '<']);
            continue;
        }
        let expanded = expand(&word, variables);
        // An unquoted variable that holds several words is several words.
        if word.starts_with('$') && expanded.contains(' ') {
            out.extend(expanded.split_whitespace().map(str::to_owned));
        } else if !(expanded.is_empty() && word.starts_with('$')) {
            out.push(expanded);
        }
    }
    out
}

fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    valid.then_some((name, value))
}

/// Functions and branches that run when something ends or is asked for, not at start.
fn stops(name: &str) -> bool {
    ["stop", "kill", "shutdown", "reload", "restart", "status", "usage", "help", "down", "clean"]
        .iter()
        .any(|s| name.contains(s))
        && !name.contains("start_stop")
}

/// All commands of a script that run when it is started, in order.
#[must_use]
pub fn commands(script: &str, variables: &mut Variables) -> Vec<Command> {
    let mut reader = Reader { variables, blocks: Vec::new(), guards: Vec::new(), out: Vec::new() };
    let mut pending: Option<(String, Range)> = None;
    for line in text::lines(script) {
        let (mut whole, range) = match pending.take() {
            Some((before, r)) => {
                (format!("{before} {}", line.text.trim_start()), (r.0, line.range.1))
            }
            None => (line.text.to_owned(), line.range),
        };
        if whole.ends_with('\\') && whole.len() < 8192 {
            whole.pop();
            pending = Some((whole, range));
            continue;
        }
        reader.line(&whole, range);
        if reader.out.len() >= MOST {
            break;
        }
    }
    reader.out
}

struct Reader<'v> {
    variables: &'v mut Variables,
    blocks: Vec<Block>,
    /// Conditions that a guard (`TEST || exit`) put on everything after it.
    guards: Vec<Condition>,
    out: Vec<Command>,
}

impl Reader<'_> {
    fn line(&mut self, line: &str, range: Range) {
        let mut before: Option<(Vec<String>, &'static str)> = None;
        for (operator, piece) in pieces(line) {
            if operator == ";;"
                && let Some(Block::Case { branch, .. }) = self.blocks.last_mut()
            {
                *branch = Branch::None;
            }
            let list = match (operator, &before) {
                ("&&", Some((w, _))) => Some(Condition { words: w.clone(), negated: false }),
                ("||", Some((w, _))) => Some(Condition { words: w.clone(), negated: true }),
                _ => None,
            };
            let words = self.piece(piece.trim(), range, list);
            before = Some((words, operator));
        }
    }

    /// One piece: block words are taken off it, what remains is a command. Returns the command's words.
    fn piece(&mut self, piece: &str, range: Range, list: Option<Condition>) -> Vec<String> {
        let mut rest = piece;
        // A piece has few block words; the bound is against absurd input.
        for _ in 0..8 {
            let (first, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let tail = tail.trim_start();
            if let Some(Block::Case { start, branch }) = self.blocks.last_mut()
                && *branch == Branch::None
                && first != "esac"
                && let Some((label, after)) = rest.split_once(')')
            {
                let label = label.trim().trim_start_matches('(').trim_matches(['"', '\'']);
                *branch = if !*start {
                    Branch::Unknown(Condition {
                        words: vec!["case".to_owned(), label.to_owned()],
                        negated: false,
                    })
                } else if label
                    .split('|')
                    .any(|l| matches!(l.trim(), "start" | "boot" | "*" | "S" | "start_msg"))
                    && label != "*"
                {
                    Branch::Taken
                } else {
                    Branch::Skipped
                };
                rest = after.trim_start();
                continue;
            }
            match first {
                "if" | "while" | "until" | "elif" => {
                    let words = simple(tail.trim_start_matches("! "), self.variables);
                    let condition = Condition {
                        words: words.clone(),
                        negated: (first == "until") ^ tail.starts_with("! "),
                    };
                    if first == "elif" {
                        self.blocks.pop();
                    }
                    // The test itself is run.
                    self.emit(words.clone(), range, None);
                    self.blocks.push(if matches!(first, "if" | "elif") {
                        Block::If(condition)
                    } else {
                        Block::Loop(condition)
                    });
                    return words;
                }
                "for" => {
                    let words = simple(rest, self.variables);
                    self.emit(words.clone(), range, None);
                    self.blocks.push(Block::Loop(Condition { words: Vec::new(), negated: false }));
                    return words;
                }
                "case" => {
                    self.blocks.push(Block::Case {
                        start: tail.contains("$1") || tail.contains("${1"),
                        branch: Branch::None,
                    });
                    match tail.split_once(" in ") {
                        Some((_, after)) => rest = after.trim_start(),
                        None => return Vec::new(),
                    }
                }
                "else" => {
                    if let Some(Block::If(c)) = self.blocks.last_mut() {
                        c.negated = !c.negated;
                    }
                    rest = tail;
                }
                "then" | "do" | "!" | "time" => rest = tail,
                "{" | "(" => {
                    self.blocks.push(Block::Group { stops: false, guards: self.guards.len() });
                    rest = tail;
                }
                "fi" | "done" | "esac" | "}" | ")" => {
                    if let Some(Block::Group { guards, .. }) = self.blocks.pop() {
                        self.guards.truncate(guards);
                    }
                    rest = tail;
                }
                _ => match function(rest) {
                    Some((name, after)) => {
                        self.blocks
                            .push(Block::Group { stops: stops(name), guards: self.guards.len() });
                        // The brace belongs to the function, on this line or the next.
                        rest = after.trim_start().strip_prefix('{').unwrap_or(after).trim_start();
                        if rest.is_empty() {
                            return Vec::new();
                        }
                    }
                    None => break,
                },
            }
            if rest.is_empty() {
                return Vec::new();
            }
        }
        let mut words = simple(rest.trim_end_matches(" }").trim_end_matches(" )"), self.variables);
        if rest.ends_with(" }") {
            self.blocks.pop();
        }
        while let Some((name, value)) = words.first().and_then(|w| assignment(w)) {
            if words.len() == 1 && !value.contains('$') && !value.contains('`') {
                let fresh = self.live().is_empty();
                let (name, value) = (name.to_owned(), value.to_owned());
                if fresh || !self.variables.contains_key(&name) {
                    self.variables.insert(name, value);
                }
            }
            words.remove(0);
        }
        if matches!(words.first().map(String::as_str), Some("exit" | "return"))
            && let Some(list) = list
        {
            self.guards.push(Condition { negated: !list.negated, ..list });
            return words;
        }
        self.emit(words.clone(), range, list);
        words
    }

    fn live(&self) -> Vec<Condition> {
        let mut out = self.guards.clone();
        for block in &self.blocks {
            match block {
                Block::If(c) | Block::Case { branch: Branch::Unknown(c), .. } => {
                    out.push(c.clone())
                }
                Block::Loop(c) if !c.words.is_empty() => out.push(c.clone()),
                _ => {}
            }
        }
        out
    }

    fn emit(&mut self, words: Vec<String>, range: Range, list: Option<Condition>) {
        let skipped = self.blocks.iter().any(|b| {
            matches!(
                b,
                Block::Group { stops: true, .. } | Block::Case { branch: Branch::Skipped, .. }
            )
        });
        if words.is_empty() || skipped || self.out.len() >= MOST {
            return;
        }
        let mut conditions = self.live();
        conditions.extend(list);
        self.out.push(Command { words, range, conditions });
    }
}

/// `name() {` or `function name {`: the name and what follows the brackets.
fn function(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix("function ") {
        let (name, after) = rest.trim_start().split_once(char::is_whitespace).unwrap_or((rest, ""));
        return Some((name.trim_end_matches("()"), after));
    }
    let (name, after) = text.split_once('(')?;
    let name = name.trim_end();
    let plain =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    let after = after.trim_start().strip_prefix(')')?;
    plain.then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Vec<(String, usize)> {
        commands(script, &mut Variables::new())
            .into_iter()
            .map(|c| (c.words.join(" "), c.conditions.len()))
            .collect()
    }

    #[test]
    fn a_sysv_script_starts_and_does_not_stop() {
        let script = "#!/bin/sh\nDAEMON=/usr/sbin/telnetd\nOPTS='-l /bin/login'\n\
            [ -x $DAEMON ] || exit 0\n\
            start() {\n  echo starting\n  start-stop-daemon -S -x $DAEMON -- $OPTS > /dev/null 2>&1 &\n}\n\
            stop() {\n  killall telnetd\n}\n\
            case \"$1\" in\n  start)\n    start\n    ;;\n  stop) stop ;;\n  *) echo usage; exit 1 ;;\nesac\n";
        let all = run(script);
        assert!(
            all.contains(&(
                "start-stop-daemon -S -x /usr/sbin/telnetd -- -l /bin/login".to_owned(),
                1
            )),
            "{all:?}"
        );
        assert!(all.contains(&("start".to_owned(), 1)));
        assert!(!all.iter().any(|(c, _)| c.contains("killall") || c.contains("usage")), "{all:?}");
    }

    #[test]
    fn conditions_are_kept() {
        let all = run("if [ \"$x\" = 1 ]; then\n a\nelse\n b\nfi\nc && d || e\nf\n");
        let by = |n: &str| all.iter().find(|(c, _)| c == n).unwrap().1;
        assert_eq!((by("a"), by("b"), by("c"), by("d"), by("e"), by("f")), (1, 1, 0, 1, 1, 0));
    }

    #[test]
    fn loops_functions_and_continuations() {
        let all = run(
            "for i in /etc/init.d/S??* ;do\n $i start\ndone\nstart_service()\n{\n procd_set_param command \\\n  \"$PROG\" -F\n}\nlast # c\n",
        );
        assert_eq!(all[0].0, "for i in /etc/init.d/S??*");
        assert!(all.contains(&("procd_set_param command $PROG -F".to_owned(), 0)), "{all:?}");
        assert_eq!(all.last().unwrap(), &("last".to_owned(), 0));
    }

    #[test]
    fn odd_input_ends() {
        for s in [
            "((((",
            "case",
            "case x in",
            "if",
            "$(",
            "}",
            "esac fi done",
            "a=\\",
            "${",
            "''\"",
            "f() { g; }",
        ] {
            let _ = run(s);
        }
        assert_eq!(run("f() { g; }\nh\n"), [("g".to_owned(), 0), ("h".to_owned(), 0)]);
    }
}
