//! JSON cut into values without building them: bounded memory, whatever the size of the text.
//!
//! Only as much grammar is checked as is needed to find the end of a value. A value that is too large, too deep or
//! cut by damage is passed over and named; the next one is found again, by the line in a text of lines, and by how
//! its neighbours begin in a list.

use std::io::{self, Read};

use memchr::{memchr, memchr3, memmem};

/// Bytes read at a time.
const STEP: usize = 1 << 18;

/// Bounds of one value.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one record.
    pub record: usize,
    /// Levels of nesting.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        // The largest records in use have some megabytes; the depth is what the JSON reader takes.
        Self { record: 64 << 20, depth: 120 }
    }
}

/// Why there is no value here.
#[derive(Debug)]
pub enum Broken {
    /// The text is not JSON at this place, or ends in the middle.
    Syntax {
        /// What is wrong.
        reason: String,
        /// How the value begins.
        head: Vec<u8>,
    },
    /// The value is larger than allowed; the rest of it was passed over.
    TooLarge {
        /// How it begins.
        head: Vec<u8>,
    },
    /// The source cannot be read.
    Io(io::Error),
}

impl From<io::Error> for Broken {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// Where the search for the end of a value stands.
#[derive(Debug, Clone, Copy)]
struct Nesting {
    depth: u32,
    in_string: bool,
    /// The next byte of the string is quoted.
    quoted: bool,
    /// Last byte outside strings that is not white space; an opening bracket may only follow some.
    before: u8,
}

/// A text in front of a cursor.
pub struct Scanner<'r> {
    source: &'r mut dyn Read,
    buffer: Vec<u8>,
    at: usize,
    gone: u64,
    ended: bool,
    /// What ended the source, told when all that came before it has been used.
    failed: Option<io::Error>,
    limits: Limits,
}

impl<'r> Scanner<'r> {
    /// A scanner at the beginning of a text.
    pub fn new(source: &'r mut dyn Read, limits: Limits) -> Self {
        Self { source, buffer: Vec::new(), at: 0, gone: 0, ended: false, failed: None, limits }
    }

    /// Bytes in front of the cursor since the beginning of the text.
    pub fn position(&self) -> u64 {
        self.gone.saturating_add(self.at as u64)
    }

    /// What was read and not yet taken.
    pub fn ahead(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    /// Goes on by some bytes.
    pub fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.buffer.len());
    }

    /// Reads on; whether there was anything.
    fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.at > STEP {
            self.buffer.drain(..self.at);
            self.gone = self.gone.saturating_add(self.at as u64);
            self.at = 0;
        }
        if let Some(e) = self.failed.take() {
            self.ended = true;
            return Err(e);
        }
        let old = self.buffer.len();
        let read = (&mut *self.source).take(STEP as u64).read_to_end(&mut self.buffer);
        let got = self.buffer.len() > old;
        match read {
            Err(e) if got => self.failed = Some(e),
            Err(e) => {
                self.ended = true;
                return Err(e);
            }
            Ok(_) => self.ended = !got,
        }
        Ok(got)
    }

    /// Reads until there are so many bytes ahead, or no more.
    pub fn look(&mut self, bytes: usize) -> io::Result<&[u8]> {
        while self.ahead().len() < bytes {
            match self.fill() {
                Ok(true) => {}
                Err(e) if !self.ahead().is_empty() => {
                    // Not now: there is something to look at.
                    (self.failed, self.ended) = (Some(e), false);
                    break;
                }
                Err(e) => return Err(e),
                Ok(false) => break,
            }
        }
        Ok(self.ahead())
    }

    /// The next byte that is not white space (nor the mark of byte order); none at the end.
    pub fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            let ahead = self.ahead();
            let space =
                |b: &u8| matches!(b, b' ' | b'\n' | b'\r' | b'\t' | 0xef | 0xbb | 0xbf | 0x1e);
            match ahead.iter().position(|b| !space(b)) {
                Some(n) => {
                    self.at = self.at.saturating_add(n);
                    return Ok(self.ahead().first().copied());
                }
                None => {
                    self.at = self.buffer.len();
                    if !self.fill()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Takes the next byte if it is this one.
    pub fn take(&mut self, byte: u8) -> io::Result<bool> {
        let here = self.peek()? == Some(byte);
        self.skip(usize::from(here));
        Ok(here)
    }

    /// The value at the cursor, which is not moved: [`Scanner::skip`] by its length does that.
    ///
    /// # Errors
    /// The value is broken or too large. The cursor then stands behind what was passed over: after the whole of a
    /// value that is too large, else one byte after its beginning.
    pub fn value(&mut self) -> Result<&[u8], Broken> {
        let first = self.peek()?;
        if !matches!(first, Some(b'{' | b'[' | b'"')) {
            return self.scalar();
        }
        let mut state = Nesting { depth: 0, in_string: false, quoted: false, before: b'[' };
        let mut done = 0_usize;
        loop {
            let ahead = self.ahead();
            let piece = ahead.get(done..).unwrap_or_default();
            match end_of(piece, &mut state, self.limits.depth) {
                Ok(Some(n)) => {
                    let end = done.saturating_add(n);
                    if end > self.limits.record {
                        let head = self.head();
                        self.skip(end);
                        return Err(Broken::TooLarge { head });
                    }
                    return Ok(self.ahead().get(..end).unwrap_or_default());
                }
                Ok(None) => done = ahead.len(),
                Err(reason) => return Err(self.wrong(reason)),
            }
            if done > self.limits.record {
                return Err(self.pass_over(done, state));
            }
            if !self.fill()? {
                return Err(self.wrong("the text ends in the middle of it".into()));
            }
        }
    }

    /// Number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Result<&[u8], Broken> {
        self.look(64)?;
        let letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        let n = self.ahead().iter().take_while(|b| letter(b)).count();
        match n {
            1..64 => Ok(self.ahead().get(..n).unwrap_or_default()),
            _ => Err(self.wrong("this is not JSON".into())),
        }
    }

    /// A value larger than the limit: its end is looked for without keeping it.
    fn pass_over(&mut self, done: usize, mut state: Nesting) -> Broken {
        let head = self.head();
        self.skip(done);
        loop {
            match end_of(self.ahead(), &mut state, u32::MAX) {
                Ok(Some(n)) => {
                    self.skip(n);
                    return Broken::TooLarge { head };
                }
                Ok(None) => self.at = self.buffer.len(),
                Err(reason) => return Broken::Syntax { reason, head },
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return Broken::TooLarge { head },
                Err(e) => return Broken::Io(e),
            }
        }
    }

    fn head(&self) -> Vec<u8> {
        self.ahead().iter().take(4096).copied().collect()
    }

    fn wrong(&mut self, reason: String) -> Broken {
        let head = self.head();
        self.skip(1);
        Broken::Syntax { reason, head }
    }

    /// Goes to where these bytes occur next, or to the end.
    pub fn seek(&mut self, mark: &[u8]) -> io::Result<bool> {
        let finder = memmem::Finder::new(mark);
        loop {
            if let Some(n) = finder.find(self.ahead()) {
                self.skip(n);
                return Ok(true);
            }
            let keep = mark.len().saturating_sub(1).min(self.ahead().len());
            self.at = self.buffer.len().saturating_sub(keep);
            if !self.fill()? {
                self.at = self.buffer.len();
                return Ok(false);
            }
        }
    }

    /// Goes behind the end of the line.
    pub fn next_line(&mut self) -> io::Result<()> {
        loop {
            if let Some(n) = memchr(b'\n', self.ahead()) {
                self.skip(n.saturating_add(1));
                return Ok(());
            }
            self.at = self.buffer.len();
            if !self.fill()? {
                return Ok(());
            }
        }
    }
}

/// How many bytes from here the value ends, if it does.
fn end_of(text: &[u8], state: &mut Nesting, deepest: u32) -> Result<Option<usize>, String> {
    let mut i = 0_usize;
    while let Some(rest) = text.get(i..).filter(|r| !r.is_empty()) {
        if state.quoted {
            state.quoted = false;
            i = i.saturating_add(1);
            continue;
        }
        if state.in_string {
            let Some(n) = memchr3(b'"', b'\\', b'\n', rest) else { return Ok(None) };
            match rest.get(n) {
                Some(b'"') => {
                    state.in_string = false;
                    i = i.saturating_add(n).saturating_add(1);
                    if state.depth == 0 {
                        return Ok(Some(i));
                    }
                }
                Some(b'\\') => {
                    state.quoted = true;
                    i = i.saturating_add(n).saturating_add(1);
                }
                _ => return Err("a line ends within a string".into()),
            }
            continue;
        }
        let Some(&byte) = rest.first() else { return Ok(None) };
        i = i.saturating_add(1);
        match byte {
            b'"' => state.in_string = true,
            b'{' | b'[' => {
                if !matches!(state.before, b'[' | b':' | b',') {
                    return Err("a bracket opens where none may".into());
                }
                state.depth = state.depth.saturating_add(1);
                if state.depth > deepest {
                    return Err(format!("nested deeper than {deepest} levels"));
                }
            }
            b'}' | b']' => {
                state.depth = state.depth.saturating_sub(1);
                if state.depth == 0 {
                    return Ok(Some(i));
                }
            }
            b' ' | b'\n' | b'\r' | b'\t' => continue,
            _ => {}
        }
        state.before = byte;
    }
    Ok(None)
}

/// Keys of a text that may be cut, each with its depth, in the order they stand: what a document is, is told from
/// these. At most so many, down to the third level.
pub fn keys_of(text: &[u8], most: usize) -> Vec<(u32, String)> {
    let mut keys: Vec<(u32, String)> = Vec::new();
    let (mut depth, mut i) = (0_u32, 0_usize);
    let mut last: Option<String> = None;
    while let Some(&byte) = text.get(i) {
        i = i.saturating_add(1);
        match byte {
            b'"' => {
                let start = i;
                while let Some(b) = text.get(i).filter(|b| **b != b'"') {
                    i = i.saturating_add(if *b == b'\\' { 2 } else { 1 });
                }
                let name = text.get(start..i).unwrap_or_default();
                i = i.saturating_add(1);
                last = (depth <= 3 && name.len() <= 128)
                    .then(|| String::from_utf8_lossy(name).into_owned());
            }
            b':' => {
                if let Some(name) = last.take() {
                    keys.push((depth, name));
                    if keys.len() >= most {
                        break;
                    }
                }
            }
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Drip<'a>(&'a [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let (Some((first, rest)), Some(o)) = (self.0.split_first(), out.first_mut()) else {
                return Ok(0);
            };
            *o = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn values(text: &[u8], limits: Limits) -> Vec<Result<String, String>> {
        let mut source = Drip(text);
        let mut s = Scanner::new(&mut source, limits);
        let mut out = Vec::new();
        while s.peek().unwrap().is_some() {
            match s.value() {
                Ok(v) => {
                    let n = v.len();
                    out.push(Ok(String::from_utf8_lossy(v).into_owned()));
                    s.skip(n);
                }
                Err(Broken::Syntax { reason, .. }) => {
                    out.push(Err(reason));
                    s.next_line().unwrap();
                }
                Err(Broken::TooLarge { .. }) => out.push(Err("large".into())),
                Err(Broken::Io(e)) => panic!("{e}"),
            }
        }
        out
    }

    #[test]
    fn values_one_after_the_other() {
        let text = br#"{"a":"}\"{\\"} [1,[2]]
            "x" 12 null"#;
        let want = [r#"{"a":"}\"{\\"}"#, "[1,[2]]", "\"x\"", "12", "null"];
        let got = values(text, Limits::default());
        assert_eq!(got, want.map(|w| Ok(w.to_owned())));
    }

    #[test]
    fn damage_costs_one_line() {
        let text = b"{\"a\":1}\n{\"b\":\"x}\n{\"c\":{\"d\":1}\n{\"e\":2}\n";
        let got = values(text, Limits::default());
        assert_eq!(got.first().unwrap().as_deref(), Ok("{\"a\":1}"));
        assert_eq!(got.last().unwrap().as_deref(), Ok("{\"e\":2}"));
        assert_eq!(got.iter().filter(|g| g.is_err()).count(), 2);
    }

    #[test]
    fn bounds_hold() {
        let limits = Limits { record: 64, depth: 3 };
        let large = format!("{{\"x\":\"{}\"}}\n{{}}", "y".repeat(1 << 20));
        assert_eq!(values(large.as_bytes(), limits), [Err("large".into()), Ok("{}".into())]);
        let deep = format!("{}\n{{}}", "[".repeat(1000));
        let got = values(deep.as_bytes(), limits);
        assert!(got.first().unwrap().as_ref().is_err_and(|e| e.contains("deeper than 3")));
        assert_eq!(got.last().unwrap().as_deref(), Ok("{}"));
    }

    #[test]
    fn keys_with_depth() {
        let got = keys_of(br#"{"a":[{"b":{"c":{"d":1}}}],"e":"f:g","h\"":1"#, 10);
        let want = [(1, "a"), (3, "b"), (1, "e"), (1, "h\\\"")];
        assert_eq!(got, want.map(|(n, k)| (n, k.to_owned())));
    }
}
