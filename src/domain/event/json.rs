//! One pass over untrusted JSON: RFC 8259 to the letter, known fields borrowed, everything else
//! walked but not kept. Doubled keys and depth are checked everywhere, in what is ignored too.
//!
//! Not serde_json: it reads numbers into floats unless each is parsed twice, walks ignored values
//! to any depth, and refuses a lone surrogate without saying in which field. A property test keeps
//! this reader and that one in agreement on what is JSON.

use std::borrow::Cow;

use super::fields::{Field, Fields, Kind, Token, unescape};
use super::wording::shorten;

/// Deepest nesting of objects and arrays; the event itself is the first.
pub(super) const DEPTH_MAX: usize = 64;

/// Up to this many unknown keys of one object are compared each with each, more are sorted first.
const PAIRWISE_MAX: usize = 16;

const TRAILING: &str = "expected nothing more";

/// Why a text is not one JSON object. Travels in a box: faults are rare, and results small.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// Against the grammar.
    #[error("the value is not JSON: {what}, found {found} at byte {at}")]
    Syntax { what: &'static str, found: String, at: usize },
    /// Fine JSON of another type.
    #[error("the value is JSON, but no object")]
    NotAnObject,
    /// Past [`DEPTH_MAX`].
    #[error("the value nests deeper than {DEPTH_MAX} at byte {0}")]
    TooDeep(usize),
    /// The same key twice in one object.
    #[error("the key \"{0}\" is there twice in one object")]
    Doubled(String),
}

/// The known fields of a text.
#[derive(Debug, Default)]
pub(super) struct Document<'a> {
    /// Those at the top.
    pub(super) top: Fields<'a>,
    /// Those inside `data`, when that is an object.
    pub(super) data: Fields<'a>,
}

/// Reads a text that must be one JSON object and nothing else, into a document that is still empty
/// (a large one: it is filled where it lies).
pub(super) fn parse<'a>(text: &'a str, document: &mut Document<'a>) -> Result<(), Box<Fault>> {
    let mut scanner = Scanner { text, at: 0, depth: 0, keys: Vec::new() };
    scanner.skip_blanks();
    match scanner.peek() {
        Some(b'{') => scanner.object(Some(&mut document.top), Some(&mut document.data))?,
        Some(0xEF) if text.starts_with('\u{feff}') => {
            return Err(scanner.fault("a byte order mark may not open the value: expected '{'"));
        }
        _ => {
            scanner.value(None)?; // first of all it has to be JSON
            scanner.skip_blanks();
            return Err(if scanner.peek().is_none() {
                Box::new(Fault::NotAnObject)
            } else {
                scanner.fault(TRAILING)
            });
        }
    }
    scanner.skip_blanks();
    match scanner.peek() {
        None => Ok(()),
        Some(_) => Err(scanner.fault(TRAILING)),
    }
}

/// Whether a text is one JSON value of any type and nothing else, by the same grammar.
pub(super) fn check(text: &str) -> Result<(), Box<Fault>> {
    let mut scanner = Scanner { text, at: 0, depth: 0, keys: Vec::new() };
    scanner.skip_blanks();
    scanner.value(None)?;
    scanner.skip_blanks();
    match scanner.peek() {
        None => Ok(()),
        Some(_) => Err(scanner.fault(TRAILING)),
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// The unknown keys of every object that is open, innermost last.
    keys: Vec<Cow<'a, [u8]>>,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[cold]
    fn fault(&self, what: &'static str) -> Box<Fault> {
        let found = self.text.get(self.at..).and_then(|rest| rest.chars().next());
        let found = found.map_or("the end".into(), |c| format!("{c:?}"));
        Box::new(Fault::Syntax { what, found, at: self.at })
    }

    fn skip_blanks(&mut self) {
        self.skip_while(|b| matches!(b, b' ' | b'\n' | b'\r' | b'\t'));
    }

    /// Counts in a register: through `self.at` each byte would cost a store and a load.
    #[inline(always)]
    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|b| !wanted(*b)).unwrap_or(rest.len());
    }

    /// Takes this byte, and the blanks after it.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
            self.skip_blanks();
        }
        found
    }

    /// Opens an object or array.
    fn enter(&mut self) -> Result<(), Box<Fault>> {
        if self.depth == DEPTH_MAX {
            return Err(Box::new(Fault::TooDeep(self.at)));
        }
        self.depth += 1;
        self.at += 1;
        self.skip_blanks();
        Ok(())
    }

    /// Closes an object or array.
    fn leave(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// Reads an object. Known keys are looked for when there are `fields` to keep them in; `data`
    /// does the same for an object under the key `data`.
    fn object(
        &mut self,
        mut fields: Option<&mut Fields<'a>>,
        mut data: Option<&mut Fields<'a>>,
    ) -> Result<(), Box<Fault>> {
        self.enter()?;
        let outer = self.keys.len();
        let mut more = self.peek() != Some(b'}');
        while more {
            let key = self.key()?;
            let start = self.at;
            match fields.as_deref_mut().and_then(|fields| Some((Field::of(&key)?, fields))) {
                Some((field, fields)) if fields.has(field) => return Err(doubled(&key)),
                Some((field, fields)) => {
                    let inner = if field == Field::Data { data.take() } else { None };
                    let kind = self.value(inner)?;
                    fields.set(field, Token { kind, raw: &self.text[start..self.at] });
                }
                None => {
                    self.keys.push(key);
                    self.value(None)?;
                }
            }
            self.skip_blanks();
            more = self.take(b',');
        }
        if self.peek() != Some(b'}') {
            return Err(self.fault("expected ',' or '}'"));
        }
        self.check_keys(outer)?;
        self.leave();
        Ok(())
    }

    /// Reads a key with its colon.
    #[inline(always)]
    fn key(&mut self) -> Result<Cow<'a, [u8]>, Box<Fault>> {
        if self.peek() != Some(b'"') {
            return Err(self.fault("expected a key in quotes"));
        }
        let start = self.at + 1;
        let kind = self.string()?;
        let inside = &self.text[start..self.at - 1];
        self.skip_blanks();
        if !self.take(b':') {
            return Err(self.fault("expected ':'"));
        }
        Ok(if kind == Kind::Escaped { unescape(inside).into() } else { inside.as_bytes().into() })
    }

    /// Forgets the unknown keys of the object that ends. Sorting rather than a set: it cannot be
    /// slowed down by keys that were chosen for it.
    fn check_keys(&mut self, outer: usize) -> Result<(), Box<Fault>> {
        let keys = &mut self.keys[outer..];
        let twice = if keys.len() <= PAIRWISE_MAX {
            keys.iter().enumerate().find(|(index, key)| keys[..*index].contains(key)).map(|(_, key)| key)
        } else {
            keys.sort_unstable();
            keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| &pair[0])
        };
        if let Some(key) = twice {
            return Err(doubled(key));
        }
        self.keys.truncate(outer);
        Ok(())
    }

    fn array(&mut self) -> Result<(), Box<Fault>> {
        self.enter()?;
        let mut more = self.peek() != Some(b']');
        while more {
            self.value(None)?;
            self.skip_blanks();
            more = self.take(b',');
        }
        if self.peek() != Some(b']') {
            return Err(self.fault("expected ',' or ']'"));
        }
        self.leave();
        Ok(())
    }

    /// Reads any value; an object's known fields are kept when asked for.
    fn value(&mut self, fields: Option<&mut Fields<'a>>) -> Result<Kind, Box<Fault>> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Kind::Number),
            Some(b'{') => self.object(fields, None).map(|()| Kind::Object),
            Some(b'[') => self.array().map(|()| Kind::Other),
            _ => self.literal(),
        }
    }

    fn literal(&mut self) -> Result<Kind, Box<Fault>> {
        let rest = &self.text.as_bytes()[self.at..];
        for (word, kind) in [("null", Kind::Null), ("true", Kind::Other), ("false", Kind::Other)] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(kind);
            }
        }
        Err(self.fault("expected a value"))
    }

    fn number(&mut self) -> Result<(), Box<Fault>> {
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    /// Reads one digit or more.
    fn digits(&mut self) -> Result<(), Box<Fault>> {
        let start = self.at;
        self.skip_while(|b| b.is_ascii_digit());
        if self.at == start { Err(self.fault("expected a digit")) } else { Ok(()) }
    }

    /// Reads a string; its escapes are checked here and resolved when somebody asks.
    fn string(&mut self) -> Result<Kind, Box<Fault>> {
        self.at += 1;
        let mut kind = Kind::Plain;
        loop {
            self.skip_while(|b| b >= 0x20 && b != b'"' && b != b'\\');
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    self.escape()?;
                }
                _ => return Err(self.fault("expected more of a string")),
            }
        }
        self.at += 1;
        Ok(kind)
    }

    fn escape(&mut self) -> Result<(), Box<Fault>> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                let digits = self.text.as_bytes()[self.at..].iter().take(4);
                if digits.take_while(|b| b.is_ascii_hexdigit()).count() < 4 {
                    return Err(self.fault("expected four hexadecimal digits"));
                }
                self.at += 4;
            }
            _ => return Err(self.fault("expected an escape")),
        }
        Ok(())
    }
}

#[cold]
fn doubled(key: &[u8]) -> Box<Fault> {
    Box::new(Fault::Doubled(shorten(&String::from_utf8_lossy(key))))
}
