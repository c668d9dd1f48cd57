//! The texts of the scripts. What a ledger runs are the real ones; a test may plant a fault in a copy, to
//! show that its checkers see it.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Every file of the folder `scripts`, by its name without the ending.
#[derive(Debug, Clone)]
pub struct Scripts(BTreeMap<&'static str, Cow<'static, str>>);

macro_rules! files {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("scripts/", $name, ".lua")))),*]
    };
}

const FILES: [(&str, &str); 15] = files! {
    "books" "change" "check" "decide" "effects" "hold" "holds" "keep" "lib" "marks" "open" "published" "restore" "stop"
    "sweep"
};

/// A patch that does not fit the text it is for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}.lua has {found} times {text:?}, once was expected")]
pub struct Misfit {
    file: String,
    text: String,
    found: usize,
}

impl Default for Scripts {
    fn default() -> Self {
        Self(FILES.into_iter().map(|(name, text)| (name, Cow::Borrowed(text))).collect())
    }
}

impl Scripts {
    /// The same with another text at one place. Errors: a place that is not there exactly once.
    pub fn patched(mut self, file: &str, from: &str, to: &str) -> Result<Self, Misfit> {
        let found = self.0.get(file).map_or(0, |text| text.matches(from).count());
        match self.0.get_mut(file) {
            Some(text) if found == 1 => *text = Cow::Owned(text.replace(from, to)),
            _ => return Err(Misfit { file: file.to_owned(), text: from.to_owned(), found }),
        }
        Ok(self)
    }

    /// Some files, one behind the other.
    pub(super) fn joined(&self, names: &[&str]) -> String {
        names.iter().filter_map(|name| self.0.get(name)).map(|text| &**text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_fits_at_exactly_one_place() {
        let patched = Scripts::default().patched("keep", "return answered", "return nothing").unwrap();
        assert!(patched.joined(&["keep"]).contains("return nothing"));
        for (file, from) in [("keep", "nowhere"), ("nowhere", "return"), ("lib", "local function")] {
            let misfit = Scripts::default().patched(file, from, "").unwrap_err();
            assert_ne!(misfit.found, 1, "{misfit}");
        }
    }
}
