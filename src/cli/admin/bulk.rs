//! Many users out of one file, all or none: CSV with a header (`user,limit,team,monthly_allocation,
//! suspended`; an empty field stays as it is), or JSON as the API takes it, `{"users": [...]}` or the list
//! alone (null inherits, leaves, or sets 0).

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Deserializer};

use super::words::{self, LimitWord, TeamWord};
use crate::domain::change::{Change, LimitSetting, UserChange};
use crate::domain::{Credits, TeamId, UserId};

/// Most users of one write.
const USERS_MAX: usize = 1_000;
/// Largest file.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
const COLUMNS: [&str; 5] = ["user", "limit", "team", "monthly_allocation", "suspended"];

/// The change that a file asks for; `-` is standard input. Errors: name line or entry, and the value.
pub fn read(path: &Path) -> anyhow::Result<Change> {
    let name = path.display();
    let mut text = String::new();
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).with_context(|| format!("{name}"))?)
    };
    source.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).with_context(|| format!("{name}"))?;
    ensure!(text.len() as u64 <= FILE_BYTES_MAX, "{name}: more than {FILE_BYTES_MAX} bytes");
    parse(&text).with_context(|| format!("{name}: nothing was changed"))
}

/// The change that a text asks for.
fn parse(text: &str) -> anyhow::Result<Change> {
    let text = text.trim_start_matches('\u{feff}');
    let users = if text.trim_start().starts_with(['{', '[']) { of_json(text)? } else { of_csv(text)? };
    ensure!(
        (1..=USERS_MAX).contains(&users.len()),
        "1 to {USERS_MAX} users can be changed at once; here are {}",
        users.len()
    );
    let mut seen = BTreeSet::new();
    let twice = users.iter().find(|change| !seen.insert(&change.user));
    if let Some(change) = twice {
        bail!("{} is there twice", change.user);
    }
    Ok(Change::Users { users })
}

/// As the API takes a user among many.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    user: UserId,
    #[serde(default, deserialize_with = "sent")]
    limit: Option<Option<Limit>>,
    #[serde(default, deserialize_with = "sent")]
    team: Option<Option<TeamId>>,
    #[serde(default, deserialize_with = "sent")]
    monthly_allocation: Option<Option<Credits>>,
    #[serde(default)]
    apply_now: bool,
    suspended: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    users: Vec<Item>,
}

/// A limit in JSON: credits as a number, or the word `none`.
#[derive(Debug)]
struct Limit(LimitSetting);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let raw = Box::<serde_json::value::RawValue>::deserialize(input)?;
        if raw.get() == "\"none\"" {
            return Ok(Self(LimitSetting::None));
        }
        let credits = Credits::parse(raw.get());
        let words = |fault| serde::de::Error::custom(format!("limit: {} {fault}", raw.get()));
        credits.map(|limit| Self(LimitSetting::Credits(limit))).map_err(words)
    }
}

/// Tells a field that is null from one that is not there.
fn sent<'de, T: Deserialize<'de>, D: Deserializer<'de>>(input: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(input).map(Some)
}

impl Item {
    fn change(self) -> UserChange {
        UserChange {
            user: self.user,
            limit: self.limit.map(|sent| sent.map(|Limit(limit)| limit)),
            team: self.team,
            monthly_allocation: self.monthly_allocation.map(Option::unwrap_or_default),
            apply_now: self.apply_now,
            suspended: self.suspended,
        }
    }
}

fn of_json(text: &str) -> anyhow::Result<Vec<UserChange>> {
    let items = if text.trim_start().starts_with('[') {
        serde_json::from_str::<Vec<Item>>(text)?
    } else {
        serde_json::from_str::<Body>(text)?.users
    };
    Ok(items.into_iter().map(Item::change).collect())
}

fn of_csv(text: &str) -> anyhow::Result<Vec<UserChange>> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (_, header) = lines.next().context("the file is empty")?;
    let header = fields(header);
    for name in &header {
        ensure!(COLUMNS.contains(&name.as_str()), "column {name:?} is none of {}", COLUMNS.join(","));
    }
    ensure!(
        header.iter().any(|name| name == "user"),
        "the first line names the columns: {}",
        COLUMNS.join(",")
    );
    let of_line = |(at, line): (usize, &str)| {
        of_fields(&header, &fields(line)).with_context(|| format!("line {}", at + 1))
    };
    lines.map(of_line).collect()
}

fn of_fields(header: &[String], fields: &[String]) -> anyhow::Result<UserChange> {
    ensure!(fields.len() == header.len(), "{} fields, the header has {}", fields.len(), header.len());
    let field = |name: &str| {
        let named = header.iter().zip(fields).find(|(column, _)| *column == name);
        named.map(|(_, field)| field.as_str()).filter(|field| !field.is_empty())
    };
    let user = field("user").context("no user")?;
    let user = UserId::parse(user).map_err(|fault| anyhow::anyhow!("user {user:?} {fault}"))?;
    let said = |fault: String| anyhow::Error::msg(fault);
    let suspended = |text: &str| {
        text.to_ascii_lowercase().parse().with_context(|| format!("suspended {text:?}: give true or false"))
    };
    Ok(UserChange {
        limit: field("limit").map(str::parse::<LimitWord>).transpose().map_err(said)?.map(|word| word.0),
        team: field("team").map(str::parse::<TeamWord>).transpose().map_err(said)?.map(|word| word.0),
        monthly_allocation: field("monthly_allocation").map(words::credits).transpose().map_err(said)?,
        suspended: field("suspended").map(suspended).transpose()?,
        ..UserChange::of(user)
    })
}

/// The fields of a line, quotes and blanks around them taken off. No id or amount holds a comma.
fn fields(line: &str) -> Vec<String> {
    let plain = |field: &str| field.trim().trim_matches('"').trim().to_owned();
    line.trim_end_matches('\r').split(',').map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(text: &str) -> Vec<UserChange> {
        match parse(text).unwrap() {
            Change::Users { users } => users,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn csv_and_json_ask_for_the_same() {
        let csv = "user,limit,team,suspended,monthly_allocation\r\nann,1000,none,,\r\n\r\n\"bob\",none,red,TRUE,5\r\n\
                   cat,inherit,,,\r\n";
        let json = r#"{"users": [{"user": "ann", "limit": 1000, "team": null},
            {"user": "bob", "limit": "none", "team": "red", "suspended": true, "monthly_allocation": 5},
            {"user": "cat", "limit": null}]}"#;
        assert_eq!(users(csv), users(json));
        let list = json.trim_start_matches("{\"users\": ").trim_end_matches('}');
        assert_eq!(users(csv), users(list));
        assert_eq!(users(csv)[1].limit, Some(Some(LimitSetting::None)));
        assert_eq!((users(csv)[0].suspended, users(csv)[2].team.clone()), (None, None));
    }

    #[test]
    fn a_fault_names_its_line_and_value() {
        for (text, words) in [
            ("user,limit\nann,x", "line 2: \"x\""),
            ("user,limit\nann", "line 2: 1 fields"),
            ("user,team\na b,red", "line 2: user \"a b\""),
            ("user,suspended\nann,maybe", "give true or false"),
            ("user,budget\nann,1", "\"budget\" is none of"),
            ("limit\n1", "names the columns"),
            ("user\nann\nann", "ann is there twice"),
            ("", "the file is empty"),
            ("user\n", "here are 0"),
            (r#"[{"user": "ann", "limit": -1}]"#, "limit: -1"),
            (r#"[{"user": "ann", "budget": 1}]"#, "budget"),
        ] {
            let fault = format!("{:#}", parse(text).unwrap_err());
            assert!(fault.contains(words), "{text:?}: {fault}");
        }
        let many: String = (0..1001).map(|at| format!("user-{at}\n")).collect();
        assert!(format!("{:#}", parse(&format!("user\n{many}")).unwrap_err()).contains("here are 1001"));
    }
}
