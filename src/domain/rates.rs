//! The rate card: from feature, model and quantities to credits. Exact arithmetic, rounded up to a
//! microcredit. How the card is written down is in `parse`; who keeps the file is not in here.

mod parse;

use compact_str::CompactString;
use serde::Serialize;

use super::credits::Credits;
use super::ids::FeatureId;

pub use parse::RatesError;

/// One line of the card. What an event lacks (tokens, quantity) counts as 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// The feature that it prices.
    pub feature: FeatureId,
    /// Which models, as a glob of `*` and `?`; every model and none when absent.
    pub model: Option<CompactString>,
    /// Credits for each event.
    pub per_event: Option<Credits>,
    /// Credits for each unit of the quantity.
    pub per_quantity: Option<Credits>,
    /// Credits for each 1,000 tokens read.
    pub per_1k_input_tokens: Option<Credits>,
    /// Credits for each 1,000 tokens written.
    pub per_1k_output_tokens: Option<Credits>,
}

/// The rates in force, in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RateCard {
    version: CompactString,
    rates: Vec<Rate>,
}

/// A price past what one event may cost; the words fit after the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("priced by rate card {version} are more than 1000000000")]
pub struct PriceError {
    /// The card that made it so.
    pub version: CompactString,
}

impl Default for RateCard {
    /// No rates at all.
    fn default() -> Self {
        Self { version: parse::digest(""), rates: Vec::new() }
    }
}

impl RateCard {
    /// Reads a card as it is written in `config/rates.toml`. Errors: every fault at once.
    pub fn parse(text: &str) -> Result<Self, RatesError> {
        let (version, rates) = parse::parse(text)?;
        Ok(Self { version, rates })
    }

    /// What is recorded with an event that the card has priced: its own `version`, else the first 12
    /// hexadecimal digits of the SHA-256 of its text.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The rates, in the order in which they are asked.
    pub fn rates(&self) -> &[Rate] {
        &self.rates
    }

    /// The price by the first rate that matches; none when no rate does. Errors: more than an event
    /// may cost.
    pub fn price(
        &self,
        feature: &FeatureId,
        model: Option<&str>,
        quantity: Option<u64>,
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
    ) -> Option<Result<Credits, PriceError>> {
        let rate = self.rates.iter().find(|rate| rate.matches(feature, model))?;
        let price = rate.price(quantity.unwrap_or(0), input_tokens.unwrap_or(0), output_tokens.unwrap_or(0));
        Some(price.ok_or_else(|| PriceError { version: self.version.clone() }))
    }
}

impl Rate {
    /// A model that the event does not name is an empty text: `*` matches it.
    fn matches(&self, feature: &FeatureId, model: Option<&str>) -> bool {
        let pattern = self.model.as_deref();
        self.feature == *feature && pattern.is_none_or(|pattern| glob(pattern, model.unwrap_or("")))
    }

    /// In thousandths of a microcredit, so that tokens need no fraction. With rates of at most
    /// 1,000,000,000 credits, no count of 64 bits gets near the end of 128.
    fn price(&self, quantity: u64, input_tokens: u64, output_tokens: u64) -> Option<Credits> {
        let times = |rate: Option<Credits>, count: u64| {
            i128::from(rate.map_or(0, Credits::micro)) * i128::from(count)
        };
        let millis = 1000 * (times(self.per_event, 1) + times(self.per_quantity, quantity))
            + times(self.per_1k_input_tokens, input_tokens)
            + times(self.per_1k_output_tokens, output_tokens);
        let micro = (millis + 999).div_euclid(1000);
        i64::try_from(micro).ok().map(Credits::from_micro).filter(|credits| *credits <= Credits::EVENT_MAX)
    }
}

/// `*` is any text, `?` any one character, everything else itself. Never more than one step back:
/// only the last `*` may still have to take more.
fn glob(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    let mut star = None;
    loop {
        let (here, mut rest) = (text.clone(), text.clone());
        match (pattern.next(), rest.next()) {
            (Some('*'), _) => star = Some((pattern.clone(), here)),
            (Some(p), Some(c)) if p == '?' || p == c => text = rest,
            (None, None) => return true,
            _ => {
                let Some((after, from)) = &mut star else { return false };
                if from.next().is_none() {
                    return false;
                }
                (pattern, text) = (after.clone(), from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(text: &str) -> RateCard {
        RateCard::parse(text).unwrap()
    }

    fn price(card: &RateCard, model: Option<&str>, counts: [u64; 3]) -> Option<String> {
        let [quantity, input, output] = counts.map(Some);
        let feature = FeatureId::parse("ai_chat").unwrap();
        let price = card.price(&feature, model, quantity, input, output)?;
        Some(price.map_or_else(|fault| fault.to_string(), |credits| credits.to_string()))
    }

    #[test]
    fn a_glob_matches_as_shells_do() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "gpt"),
            ("gpt-*", "gpt-"),
            ("gpt-?", "gpt-5"),
            ("gpt-?", "gpt-é"),
            ("*mini*", "gpt-5-mini-2026"),
            ("a*b*c", "aXbXbXc"),
            ("**", "x"),
            ("*aab", "aaaab"),
        ] {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("?", ""),
            ("gpt-?", "gpt-"),
            ("gpt", "gpt-5"),
            ("a*b", "abc"),
            ("GPT", "gpt"),
            ("[a]", "a"),
        ] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
        assert!(!glob(&"*a".repeat(100), &"b".repeat(100_000)), "and quickly");
    }

    #[test]
    fn the_first_rate_that_matches_prices_the_event() {
        let card = card(
            r#"
            [[rates]]
            feature = "ai_chat"
            model = "gpt-*"
            per_1k_input_tokens = "0.5"
            per_1k_output_tokens = 1.5

            [[rates]]
            feature = "ai_chat"
            per_event = 2
            per_quantity = 1e-6
            "#,
        );
        assert_eq!(price(&card, Some("gpt-5"), [9, 1000, 2000]).unwrap(), "3.5");
        assert_eq!(price(&card, Some("claude"), [3, 1000, 2000]).unwrap(), "2.000003");
        assert_eq!(price(&card, None, [0, 0, 0]).unwrap(), "2");
        let other = FeatureId::parse("ai_field").unwrap();
        assert_eq!(card.price(&other, None, None, None, None), None);
        assert_eq!(price(&RateCard::default(), None, [1, 1, 1]), None);
    }

    #[test]
    fn a_price_is_exact_and_rounded_up_to_a_microcredit() {
        let card =
            card("[[rates]]\nfeature='ai_chat'\nper_1k_input_tokens=0.000001\nper_1k_output_tokens='0.1'");
        assert_eq!(price(&card, None, [0, 1, 0]).unwrap(), "0.000001");
        assert_eq!(price(&card, None, [0, 1000, 0]).unwrap(), "0.000001");
        assert_eq!(price(&card, None, [0, 1001, 0]).unwrap(), "0.000002");
        assert_eq!(price(&card, None, [0, 1, 3]).unwrap(), "0.000301");
        assert_eq!(price(&card, None, [0, 0, 0]).unwrap(), "0");
    }

    #[test]
    fn a_price_past_what_an_event_may_cost_is_an_error() {
        let card = card(
            "version='v1'\n[[rates]]\nfeature='ai_chat'\nper_event=1000000000\nper_quantity=1_000_000_000\n\
             per_1k_input_tokens=1e9\nper_1k_output_tokens='1000000000.000000'",
        );
        assert_eq!(price(&card, None, [0, 0, 0]).unwrap(), "1000000000");
        for counts in [[1, 0, 0], [0, 1, 0], [0, 0, u64::MAX], [u64::MAX; 3]] {
            assert_eq!(
                price(&card, None, counts).unwrap(),
                "priced by rate card v1 are more than 1000000000"
            );
        }
    }
}
