//! The fields that the service knows by name, and the tokens found under them. What a token has to
//! be is not here: that is [`super::checks`].

use std::borrow::Cow;

/// A field with a meaning, at the top of the text or inside `data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Id,
    Source,
    Time,
    Workspace,
    User,
    Feature,
    Credits,
    Model,
    ResponseModel,
    RequestModel,
    InputTokens,
    UsageInputTokens,
    OutputTokens,
    UsageOutputTokens,
    Quantity,
    Hold,
    SpecVersion,
    Type,
    Subject,
    Data,
    DataBase64,
}

const FIELDS: usize = Field::DataBase64 as usize + 1;

impl Field {
    /// The field of a key, its escapes resolved.
    pub(super) fn of(key: &[u8]) -> Option<Self> {
        Some(match key {
            b"id" => Self::Id,
            b"source" => Self::Source,
            b"time" => Self::Time,
            b"workspace" => Self::Workspace,
            b"user" => Self::User,
            b"feature" => Self::Feature,
            b"credits" => Self::Credits,
            b"model" => Self::Model,
            b"gen_ai.response.model" => Self::ResponseModel,
            b"gen_ai.request.model" => Self::RequestModel,
            b"input_tokens" => Self::InputTokens,
            b"gen_ai.usage.input_tokens" => Self::UsageInputTokens,
            b"output_tokens" => Self::OutputTokens,
            b"gen_ai.usage.output_tokens" => Self::UsageOutputTokens,
            b"quantity" => Self::Quantity,
            b"hold" => Self::Hold,
            b"specversion" => Self::SpecVersion,
            b"type" => Self::Type,
            b"subject" => Self::Subject,
            b"data" => Self::Data,
            b"data_base64" => Self::DataBase64,
            _ => return None,
        })
    }

    /// The key, as producers write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Source => "source",
            Self::Time => "time",
            Self::Workspace => "workspace",
            Self::User => "user",
            Self::Feature => "feature",
            Self::Credits => "credits",
            Self::Model => "model",
            Self::ResponseModel => "gen_ai.response.model",
            Self::RequestModel => "gen_ai.request.model",
            Self::InputTokens => "input_tokens",
            Self::UsageInputTokens => "gen_ai.usage.input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::UsageOutputTokens => "gen_ai.usage.output_tokens",
            Self::Quantity => "quantity",
            Self::Hold => "hold",
            Self::SpecVersion => "specversion",
            Self::Type => "type",
            Self::Subject => "subject",
            Self::Data => "data",
            Self::DataBase64 => "data_base64",
        }
    }
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `null`.
    Null,
    /// A string in quotes, without escapes.
    Plain,
    /// A string in quotes, with at least one escape.
    Escaped,
    /// The value of a header: a string without quotes.
    Header,
    /// A number.
    Number,
    /// An object.
    Object,
    /// An array or a boolean.
    Other,
}

/// One value, as it stands in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    /// What it is.
    pub(super) kind: Kind,
    /// Its text, a string's quotes included.
    pub(super) raw: &'a str,
}

impl<'a> Token<'a> {
    /// The inside of a string, escapes not resolved; none for anything else.
    pub(super) fn inside(self) -> Option<&'a str> {
        match self.kind {
            Kind::Plain | Kind::Escaped => self.raw.get(1..self.raw.len() - 1),
            Kind::Header => Some(self.raw),
            _ => None,
        }
    }
}

/// The text meant by the inside of a string; none when it holds a lone surrogate.
#[inline]
pub(super) fn resolve(kind: Kind, inside: &str) -> Option<Cow<'_, str>> {
    match kind {
        Kind::Escaped => String::from_utf8(unescape(inside)).ok().map(Cow::Owned),
        _ => Some(Cow::Borrowed(inside)),
    }
}

/// The bytes meant by the inside of a string that the scanner has accepted. Lone surrogates become
/// three bytes each, so that two keys are the same exactly when their bytes are.
#[cold]
pub(super) fn unescape(inside: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(inside.len());
    let mut rest = inside.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = match (byte, after.split_first()) {
            (b'\\', Some((b'u', hex))) => unescape_unicode(hex, &mut out),
            (b'\\', Some((&letter, after))) => {
                out.push(short_escape(letter));
                after
            }
            _ => {
                out.push(byte);
                after
            }
        };
    }
    out
}

fn short_escape(letter: u8) -> u8 {
    match letter {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        itself => itself,
    }
}

/// Reads what follows `\u`, with the second half of a pair when there is one; answers what is left.
fn unescape_unicode<'r>(hex: &'r [u8], out: &mut Vec<u8>) -> &'r [u8] {
    let (unit, rest) = hex_unit(hex);
    if let (0xD800..=0xDBFF, Some(second)) = (unit, rest.strip_prefix(b"\\u"))
        && let (low @ 0xDC00..=0xDFFF, rest) = hex_unit(second)
    {
        push_code(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00), out);
        return rest;
    }
    push_code(unit, out);
    rest
}

fn hex_unit(hex: &[u8]) -> (u32, &[u8]) {
    let (digits, rest) = hex.split_at_checked(4).unwrap_or((hex, &[]));
    let unit = digits.iter().filter_map(|&b| char::from(b).to_digit(16));
    (unit.fold(0, |sum, digit| sum * 16 + digit), rest)
}

fn push_code(code: u32, out: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        // A lone surrogate: the three bytes that UTF-8 would use, if it allowed them.
        None => out.extend([
            0xE0 | (code >> 12) as u8,
            0x80 | (code >> 6 & 0x3F) as u8,
            0x80 | (code & 0x3F) as u8,
        ]),
    }
}

/// The tokens found under known keys in one object, or in the headers of CloudEvents binary.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fields<'a> {
    tokens: [Option<Token<'a>>; FIELDS],
}

impl<'a> Fields<'a> {
    /// The token of a field, `null` too.
    pub(super) fn get(&self, field: Field) -> Option<Token<'a>> {
        self.tokens[field as usize]
    }

    /// Keeps a token.
    pub(super) fn set(&mut self, field: Field, token: Token<'a>) {
        self.tokens[field as usize] = Some(token);
    }

    /// The key was there, whatever its value.
    pub(super) fn has(&self, field: Field) -> bool {
        self.get(field).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_resolve_as_json_says() {
        let all = r#"a\"\\\/\b\f\n\r\t\u00e9\u20AC\uD83D\uDE00z"#;
        assert_eq!(resolve(Kind::Escaped, all).unwrap(), "a\"\\/\u{8}\u{c}\n\r\té€😀z");
        let ends = r"\uD800\uDC00\uDBFF\uDFFF\uD7FF\uE000";
        assert_eq!(resolve(Kind::Escaped, ends).unwrap(), "\u{10000}\u{10FFFF}\u{D7FF}\u{E000}");
        assert!(matches!(resolve(Kind::Plain, "plain é"), Some(Cow::Borrowed("plain é"))));
        assert_eq!(resolve(Kind::Header, r"\u00e9").unwrap(), r"\u00e9");
    }

    #[test]
    fn a_lone_surrogate_is_no_text_but_still_compares() {
        for lone in [r"\ud800", r"\udc00", r"\ud800\ud800", r"\ud800x", r"\ud83d\u0041", r"\ude00\ud83d"] {
            assert_eq!(resolve(Kind::Escaped, lone), None, "{lone}");
        }
        assert_eq!(unescape(r"\uD800"), unescape(r"\ud800"));
        assert_ne!(unescape(r"\ud800"), unescape(r"\ud801"));
        assert_eq!(unescape(r"\u0075ser"), b"user");
    }

    #[test]
    fn every_field_is_found_by_its_own_name() {
        for name in
            ["id", "source", "time", "workspace", "user", "feature", "credits", "model", "hold", "data"]
        {
            assert_eq!(Field::of(name.as_bytes()).unwrap().name(), name);
        }
        for name in
            ["input_tokens", "output_tokens", "quantity", "specversion", "type", "subject", "data_base64"]
        {
            assert_eq!(Field::of(name.as_bytes()).unwrap().name(), name);
        }
        for tail in ["response.model", "request.model", "usage.input_tokens", "usage.output_tokens"] {
            let name = format!("gen_ai.{tail}");
            assert_eq!(Field::of(name.as_bytes()).unwrap().name(), name);
        }
        assert_eq!(Field::of(b"User"), None);
    }
}
