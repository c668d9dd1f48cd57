//! Names, amounts, times and accounts: what is accepted reads back the same, what is not says why.

use tollgate::domain::ids::check_id;
use tollgate::domain::ledger::Account;
use tollgate::domain::{Credits, WorkspaceId};

use crate::mutate;
use crate::run::{Fate, run};

const EXAMPLES: [&str; 12] = [
    "acme",
    "ann@example.com",
    "a}{b",
    "{other}:x",
    "..",
    "",
    "user:ann",
    "team:red",
    "pool",
    "1234.567891",
    "1e3",
    "8000000000",
];

#[test]
fn names_and_amounts_take_any_text() {
    run("ids", |rng| {
        let example = *mutate::one(rng, &EXAMPLES);
        let text = mutate::text(rng, example, &[], 400);
        let id = WorkspaceId::parse(&text);
        assert_eq!(id.is_ok(), check_id(&text).is_ok());
        if let Ok(id) = &id {
            assert_eq!(id.as_str(), text);
            assert!(!text.contains(['{', '}', '|', ' ', '/', '\0', '\'', '\\', '%']), "{text:?} splits keys");
        }
        let said = id.as_ref().err().map(ToString::to_string);
        assert!(said.is_none_or(|said| !said.is_empty() && said.len() < 200));
        if let Ok(account) = text.parse::<Account>() {
            assert_eq!(account.to_string(), text);
        }
        match Credits::parse(&text) {
            Ok(credits) => assert_eq!(Credits::parse(&credits.to_string()), Ok(credits), "{text:?}"),
            Err(fault) => assert!(!fault.to_string().is_empty()),
        }
        if id.is_ok() { Fate::Accepted } else { Fate::Refused }
    });
}
