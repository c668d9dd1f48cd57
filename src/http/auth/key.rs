//! API keys: only their SHA-256 is configured, and every one is compared, each in constant time.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::Caller;
use crate::domain::{UserId, WorkspaceId};
use crate::http::route::Scope;

/// One `[[auth.keys]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// The actor in the ledger.
    pub name: String,
    /// SHA-256 of the key, 64 hexadecimal digits.
    pub sha256: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Where: an id, or `*` for every workspace.
    pub workspace: String,
    /// Binds it to one user of the workspace.
    pub user: Option<String>,
}

/// A key that was read.
#[derive(Debug)]
pub(super) struct Key {
    digest: [u8; 32],
    caller: Caller,
}

/// Reads the keys. Errors: every fault, a line each.
pub(super) fn read(settings: &[KeySettings]) -> Result<Vec<Key>, Vec<String>> {
    let mut faults = Vec::new();
    let mut keys = Vec::with_capacity(settings.len());
    for (at, key) in settings.iter().enumerate() {
        let mut fault = |field: &str, words: &str| faults.push(format!("auth.keys[{at}].{field}: {words}"));
        let digest = unhex(&key.sha256);
        if digest.is_none() {
            fault("sha256", "must be 64 hexadecimal digits: the SHA-256 of the key, not the key itself");
        }
        if key.name.is_empty() || key.name.chars().any(char::is_control) {
            fault("name", "must be a name: it is the actor in the ledger");
        }
        if settings[..at].iter().any(|other| other.name == key.name) {
            fault("name", "is the name of another key");
        }
        if settings[..at].iter().any(|other| other.sha256.eq_ignore_ascii_case(&key.sha256)) {
            fault("sha256", "is that of another key");
        }
        if key.scopes.is_empty() {
            fault("scopes", "must name at least one of read, admin, check, ingest");
        }
        let workspace = match key.workspace.as_str() {
            "*" => None,
            text => WorkspaceId::parse(text).map_err(|words| fault("workspace", &words.to_string())).ok(),
        };
        let user = key.user.as_deref().filter(|user| !user.is_empty());
        let user =
            user.and_then(|user| UserId::parse(user).map_err(|words| fault("user", &words.to_string())).ok());
        if user.is_some() && key.workspace == "*" {
            fault("user", "a key of one user needs the one workspace of that user");
        }
        let caller = Caller { actor: key.name.clone(), scopes: key.scopes.clone(), workspace, user };
        keys.extend(digest.map(|digest| Key { digest, caller }));
    }
    if faults.is_empty() { Ok(keys) } else { Err(faults) }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Whose key this is. Every key is looked at, whichever it is.
pub(super) fn find(keys: &[Key], token: &str) -> Option<Caller> {
    let digest: [u8; 32] = Sha256::digest(token).into();
    let (mut found, mut at) = (Choice::from(0), 0_u64);
    for (index, key) in (0..).zip(keys) {
        let same = key.digest.ct_eq(&digest);
        at.conditional_assign(&index, same);
        found |= same;
    }
    let index = usize::try_from(at).ok().filter(|_| bool::from(found))?;
    keys.get(index).map(|key| key.caller.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::hex;

    fn settings(name: &str, token: &str) -> KeySettings {
        KeySettings {
            name: name.to_owned(),
            sha256: hex(&Sha256::digest(token)),
            scopes: vec![Scope::Read],
            workspace: "acme".to_owned(),
            user: None,
        }
    }

    #[test]
    fn the_one_key_with_that_digest_is_found() {
        let mut second = settings("second", "t2");
        second.sha256.make_ascii_uppercase();
        let keys = read(&[settings("first", "t1"), second, settings("third", "t3")]).unwrap();
        for (token, name) in [("t1", "first"), ("t2", "second"), ("t3", "third")] {
            assert_eq!(find(&keys, token).unwrap().actor(), name);
        }
        assert_eq!(find(&keys, "t4"), None);
        assert_eq!(find(&keys, ""), None);
        assert_eq!(find(&[], "t1"), None);
    }

    #[test]
    fn every_fault_is_named_with_its_setting() {
        let plain = KeySettings { sha256: "secret".to_owned(), scopes: Vec::new(), ..settings("a", "t") };
        let wide =
            KeySettings { workspace: "*".to_owned(), user: Some("ann".to_owned()), ..settings("a", "u") };
        let strange = KeySettings { workspace: "a b".to_owned(), ..settings("", "u") };
        let faults = read(&[plain, wide, strange]).unwrap_err();
        let places: Vec<&str> = faults.iter().map(|fault| fault.split_once(": ").unwrap().0).collect();
        let expected = [
            "auth.keys[0].sha256",
            "auth.keys[0].scopes",
            "auth.keys[1].name",
            "auth.keys[1].user",
            "auth.keys[2].name",
            "auth.keys[2].sha256",
            "auth.keys[2].workspace",
        ];
        assert_eq!(places, expected);
        assert!(!faults.concat().contains("secret"));
    }
}
