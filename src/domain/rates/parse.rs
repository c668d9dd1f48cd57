//! `config/rates.toml` to rates: unknown keys are errors, every fault is told at once with its line,
//! and no amount passes through a float.

use compact_str::CompactString;
use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::Rate;
use crate::domain::credits::{Credits, CreditsError};
use crate::domain::ids::FeatureId;

/// Longest version of a card, in bytes; it is recorded with every event.
const VERSION_BYTES_MAX: usize = 64;

/// Why a text is no rate card: every fault, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", faults.join("\n"))]
pub struct RatesError {
    /// One sentence each, with its line.
    pub faults: Vec<String>,
}

/// Reads the version and the rates.
pub(super) fn parse(text: &str) -> Result<(CompactString, Vec<Rate>), RatesError> {
    let table = DeTable::parse(text).map_err(|fault| {
        let line = fault.span().map_or(1, |span| line_at(text, span.start));
        RatesError { faults: vec![format!("line {line}: {}", fault.message())] }
    })?;
    let mut reader = Reader { text, faults: Vec::new() };
    let (mut version, mut rates) = (None, Vec::new());
    for (key, value) in table.get_ref() {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("version", found) => version = reader.version(value, found.as_str()),
            ("rates", DeValue::Array(array)) => rates = reader.rates(array),
            ("rates", _) => reader.fault(value, "rates is written as [[rates]]"),
            (stranger, _) => {
                reader.fault(key, format!("{stranger:?} is unknown; allowed are version and [[rates]]"))
            }
        }
    }
    reader.finish()?;
    Ok((version.unwrap_or_else(|| digest(text)), rates))
}

/// The first 12 hexadecimal digits of the SHA-256 of a text.
pub(super) fn digest(text: &str) -> CompactString {
    let hash = Sha256::digest(text);
    hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|b| *b == b'\n').count()
}

struct Reader<'a> {
    text: &'a str,
    /// With where each is, so that they can be told in order.
    faults: Vec<(usize, String)>,
}

impl Reader<'_> {
    fn fault<T>(&mut self, at: &Spanned<T>, words: impl Into<String>) {
        self.faults.push((at.span().start, words.into()));
    }

    fn finish(mut self) -> Result<(), RatesError> {
        if self.faults.is_empty() {
            return Ok(());
        }
        self.faults.sort();
        let told = self.faults.iter().map(|(at, words)| format!("line {}: {words}", line_at(self.text, *at)));
        Err(RatesError { faults: told.collect() })
    }

    fn version(&mut self, at: &Spanned<DeValue<'_>>, text: Option<&str>) -> Option<CompactString> {
        let fits =
            |text: &&str| (1..=VERSION_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
        let version = text.filter(fits).map(CompactString::from);
        if version.is_none() {
            self.fault(at, format!("version is no text of 1 to {VERSION_BYTES_MAX} bytes"));
        }
        version
    }

    fn rates(&mut self, array: &DeArray<'_>) -> Vec<Rate> {
        let mut rates = Vec::new();
        for value in array {
            match value.get_ref() {
                DeValue::Table(table) => rates.extend(self.rate(value, table)),
                _ => self.fault(value, "a rate is a table, [[rates]]"),
            }
        }
        rates
    }

    /// One rate; none when it has a fault.
    fn rate(&mut self, at: &Spanned<DeValue<'_>>, table: &DeTable<'_>) -> Option<Rate> {
        let faults_before = self.faults.len();
        let (mut feature, mut model) = (None, None);
        let [mut event, mut quantity, mut input, mut output] = [None; 4];
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "feature" => feature = self.feature(value),
                "model" => model = self.model(value),
                "per_event" => event = self.amount("per_event", value),
                "per_quantity" => quantity = self.amount("per_quantity", value),
                "per_1k_input_tokens" => input = self.amount("per_1k_input_tokens", value),
                "per_1k_output_tokens" => output = self.amount("per_1k_output_tokens", value),
                stranger => self.fault(key, format!("{stranger:?} is unknown in a rate")),
            }
        }
        if !table.contains_key("feature") {
            self.fault(at, "feature is missing");
        }
        if !table.keys().any(|key| key.get_ref().starts_with("per_")) {
            let wanted = "per_event, per_quantity, per_1k_input_tokens, per_1k_output_tokens";
            self.fault(at, format!("a rate needs at least one of {wanted}"));
        }
        let feature = feature.filter(|_| self.faults.len() == faults_before)?;
        Some(Rate {
            feature,
            model,
            per_event: event,
            per_quantity: quantity,
            per_1k_input_tokens: input,
            per_1k_output_tokens: output,
        })
    }

    fn feature(&mut self, value: &Spanned<DeValue<'_>>) -> Option<FeatureId> {
        match value.get_ref().as_str().map(FeatureId::parse) {
            Some(Ok(feature)) => return Some(feature),
            Some(Err(fault)) => self.fault(value, format!("feature {fault}")),
            None => self.fault(value, "feature is not a string"),
        }
        None
    }

    fn model(&mut self, value: &Spanned<DeValue<'_>>) -> Option<CompactString> {
        let model = value.get_ref().as_str().map(CompactString::from);
        if model.is_none() {
            self.fault(value, "model is not a string");
        }
        model
    }

    /// An amount of 0 to 1,000,000,000 credits, a number by its digits or a string.
    fn amount(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<Credits> {
        let amount = match value.get_ref() {
            DeValue::String(text) => Credits::parse_digits(text),
            DeValue::Integer(digits) if digits.radix() == 10 => Credits::parse(&plain(digits.as_str())),
            DeValue::Float(digits) => Credits::parse(&plain(digits.as_str())),
            _ => Err(CreditsError::Malformed),
        };
        match amount {
            Ok(credits) if credits < Credits::ZERO => self.fault(value, format!("{name} is below 0")),
            Ok(credits) if credits <= Credits::EVENT_MAX => return Some(credits),
            Ok(_) | Err(CreditsError::TooMany) => {
                self.fault(value, format!("{name} is not within 0 and 1000000000"))
            }
            Err(fault) => self.fault(value, format!("{name} {fault}")),
        }
        None
    }
}

/// TOML's numbers as JSON writes them.
fn plain(digits: &str) -> String {
    digits.trim_start_matches('+').replace('_', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_cards_own_or_a_digest() {
        assert_eq!(parse("version = '2026-11'").unwrap().0, "2026-11");
        assert_eq!(parse("").unwrap().0, "e3b0c44298fc");
        assert_ne!(parse("# other").unwrap().0, "e3b0c44298fc");
        assert!(parse("version = 7").is_err() && parse("version = ''").is_err());
    }

    #[test]
    fn numbers_are_taken_by_their_digits() {
        for (written, micro) in [
            ("0.1", 100_000),
            ("'0.1'", 100_000),
            ("+1_000.000_001", 1_000_000_001),
            ("1e-6", 1),
            ("0.10000000000", 100_000),
            ("7", 7_000_000),
            ("0", 0),
            ("999999999.999999", 999_999_999_999_999),
        ] {
            let (_, rates) = parse(&format!("[[rates]]\nfeature='f'\nper_event={written}")).unwrap();
            assert_eq!(rates[0].per_event, Some(Credits::from_micro(micro)), "{written}");
        }
        for written in [
            "-1",
            "nan",
            "inf",
            "0x10",
            "true",
            "'1e3'",
            "''",
            "0.0000001",
            "1000000000.000001",
            "2026-01-01",
        ] {
            assert!(parse(&format!("[[rates]]\nfeature='f'\nper_event={written}")).is_err(), "{written}");
        }
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_line() {
        let text = "\
currency = 'credits'
[[rates]]
feature = 'ai chat'
per_event = -1
per_evnt = 2
[[rates]]
model = 7
[[rates]]
feature = 'fine'
per_quantity = 0.0000001
";
        let faults = parse(text).unwrap_err().faults;
        let expected = [
            "line 1: \"currency\" is unknown",
            "line 3: feature has the character ' '",
            "line 4: per_event is below 0",
            "line 5: \"per_evnt\" is unknown",
            "line 6: a rate needs at least one of",
            "line 6: feature is missing",
            "line 7: model is not a string",
            "line 10: per_quantity has more than 6 decimals",
        ];
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        for (fault, start) in faults.iter().zip(expected) {
            assert!(fault.starts_with(start), "{fault} / {start}");
        }
        assert!(parse("a = ").unwrap_err().to_string().starts_with("line 1: "));
    }

    #[test]
    fn the_card_that_comes_with_the_service_is_empty_and_its_examples_are_valid() {
        let text = include_str!("../../../config/rates.toml");
        assert_eq!(parse(text).unwrap().1, []);
        let examples =
            text.lines().filter_map(|line| line.strip_prefix("#: ")).collect::<Vec<_>>().join("\n");
        assert_eq!(parse(&examples).unwrap().1.len(), 4, "{examples}");
    }
}
