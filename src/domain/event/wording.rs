//! The sentences of rejections: a producer's value is quoted short and harmless, however long and
//! strange it is.

use std::fmt::Display;

use super::fields::{Kind, Token};
use super::{RejectReason, Rejection};

/// Longest piece of a producer's text in a sentence, in characters.
const QUOTED_CHARS_MAX: usize = 80;

/// A rejection, with its sentence.
#[cold]
pub(super) fn reject(reason: RejectReason, detail: impl Display) -> Rejection {
    Rejection { reason, detail: detail.to_string() }
}

/// The beginning of a text. What is invisible, or would turn the text around it, is escaped.
pub fn shorten(text: &str) -> String {
    let mut short = String::new();
    for c in text.chars().take(QUOTED_CHARS_MAX) {
        if is_control(c) { short.extend(c.escape_unicode()) } else { short.push(c) }
    }
    if text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

/// A value as it stood in the text, shortened.
pub(super) fn quote(token: Token<'_>) -> String {
    match (token.kind, token.inside()) {
        (Kind::Null, _) => "null".into(),
        (_, Some(inside)) => format!("\"{}\"", shorten(inside)),
        (_, None) => shorten(token.raw),
    }
}

/// Control characters of any script: Unicode's category Cc (C0, DEL, C1), the separators of lines
/// and paragraphs, and those that control the direction of writing (property Bidi_Control).
/// Joiners are not among them: words of some scripts need them.
pub(super) fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_short_and_harmless() {
        assert_eq!(shorten("a\u{85}b\u{202e}c\nd é"), "a\\u{85}b\\u{202e}c\\u{a}d é");
        assert_eq!(shorten(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(shorten(&"é".repeat(81)), format!("{}…", "é".repeat(80)));
    }
}
