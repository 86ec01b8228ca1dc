//! Patterns over locators and paths: `?` is one character but `/`, `*` any number of characters but `/`, `**`
//! any number of any characters. A pattern without `/` is matched against the last part of the path.

/// A pattern.
#[derive(Debug, Clone)]
pub struct Glob {
    parts: Vec<Part>,
    last_part_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Literal(char),
    One,
    Some,
    Any,
}

impl Glob {
    /// Reads a pattern. Every text is one.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        let mut parts = Vec::new();
        for c in pattern.chars() {
            match (c, parts.last()) {
                ('*', Some(Part::Some | Part::Any)) => {
                    parts.pop();
                    parts.push(Part::Any);
                }
                ('*', _) => parts.push(Part::Some),
                ('?', _) => parts.push(Part::One),
                _ => parts.push(Part::Literal(c)),
            }
        }
        Self { parts, last_part_only: !pattern.contains('/') && !pattern.contains("**") }
    }

    /// Whether all of `text` (or its last part, see above) matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let text = if self.last_part_only { text.rsplit('/').next().unwrap_or(text) } else { text };
        // The set of positions in the pattern that can be reached, advanced character by character: linear in
        // the text for any pattern.
        let mut reached = vec![false; self.parts.len().saturating_add(1)];
        if let Some(start) = reached.first_mut() {
            *start = true;
        }
        self.skip_stars(&mut reached);
        for c in text.chars() {
            let mut next = vec![false; reached.len()];
            for (i, part) in self.parts.iter().enumerate() {
                if !reached.get(i).copied().unwrap_or(false) {
                    continue;
                }
                let (stay, go) = match part {
                    Part::Literal(l) => (false, *l == c),
                    Part::One => (false, c != '/'),
                    Part::Some => (c != '/', false),
                    Part::Any => (true, false),
                };
                let mut mark = |at: usize, on: bool| {
                    if let Some(slot) = next.get_mut(at).filter(|_| on) {
                        *slot = true;
                    }
                };
                mark(i, stay);
                mark(i.saturating_add(1), go);
            }
            self.skip_stars(&mut next);
            reached = next;
        }
        reached.last().copied().unwrap_or(false)
    }

    /// A star may stand for nothing.
    fn skip_stars(&self, reached: &mut [bool]) {
        for (i, part) in self.parts.iter().enumerate() {
            if matches!(part, Part::Some | Part::Any) && reached.get(i).copied().unwrap_or(false) {
                if let Some(next) = reached.get_mut(i.saturating_add(1)) {
                    *next = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn patterns() {
        for (pattern, yes, no) in [
            ("*.so", "a/b/libc.so", "a/b/libc.so.6"),
            ("etc/*", "etc/passwd", "etc/ssl/key"),
            ("**/etc/**", "x.img@0x0:tar/etc/ssl/key", "x.img@0x0:tar/usr/x"),
            ("passw?", "root/passwd", "root/passwords"),
            ("**", "anything/at all", "\u{0}never\u{0}"),
        ] {
            assert!(Glob::new(pattern).matches(yes), "{pattern} {yes}");
            assert!(pattern == "**" || !Glob::new(pattern).matches(no), "{pattern} {no}");
        }
    }

    #[test]
    fn many_stars_stay_linear() {
        let pattern = "*a".repeat(200);
        assert!(!Glob::new(&pattern).matches(&"a".repeat(100_000)[..199]));
    }
}
