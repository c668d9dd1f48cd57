//! What a document expects of an answer: a part of it, with `"..."` for anything, and `"$name"` for
//! what is kept under that name (and must be the same from then on).

use std::collections::BTreeMap;

use serde_json::Value;

/// What was kept, by its name with the dollar sign.
pub type Kept = BTreeMap<String, String>;

const ANYTHING: &str = "...";

/// Where an answer differs from what is expected, as a path and a sentence; none when it fits.
pub fn difference(expected: &Value, answer: &Value, kept: &mut Kept) -> Option<String> {
    differs("$", expected, answer, kept)
}

fn differs(path: &str, expected: &Value, answer: &Value, kept: &mut Kept) -> Option<String> {
    match (expected, answer) {
        (Value::String(text), _) if text == ANYTHING => None,
        (Value::String(name), Value::String(text)) if name.starts_with('$') => keep(path, name, text, kept),
        (Value::Object(fields), Value::Object(given)) => fields.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match given.get(name) {
                Some(given) => differs(&path, value, given, kept),
                None => Some(format!("{path} is not there")),
            }
        }),
        (Value::Array(items), Value::Array(given)) => differs_in_list(path, items, given, kept),
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => None,
        (expected, answer) if expected == answer => None,
        (expected, answer) => Some(format!("{path} is {answer}, expected {expected}")),
    }
}

/// The same length, unless the last one expected is `"..."`.
fn differs_in_list(path: &str, items: &[Value], given: &[Value], kept: &mut Kept) -> Option<String> {
    let open = items.last().is_some_and(|last| last == ANYTHING);
    let items = if open { &items[..items.len() - 1] } else { items };
    if given.len() < items.len() || (!open && given.len() > items.len()) {
        return Some(format!("{path} has {} items, expected {}", given.len(), items.len()));
    }
    let mut pairs = items.iter().zip(given).enumerate();
    pairs.find_map(|(at, (item, given))| differs(&format!("{path}[{at}]"), item, given, kept))
}

fn keep(path: &str, name: &str, text: &str, kept: &mut Kept) -> Option<String> {
    let before = kept.entry(name.to_owned()).or_insert_with(|| text.to_owned());
    (before != text).then(|| format!("{path} is {text:?}, but {name} was {before:?}"))
}

/// A text with the kept values in place of their names.
pub fn filled(text: &str, kept: &Kept) -> String {
    // The longest name first: `$cursor2` is not `$cursor` and a 2.
    let mut names: Vec<&String> = kept.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.into_iter().fold(text.to_owned(), |text, name| text.replace(name, &kept[name]))
}

#[test]
fn a_difference_is_found() {
    use serde_json::json;
    let mut kept = Kept::new();
    let mut fits = |expected, answer| difference(&expected, &answer, &mut kept);
    assert_eq!(fits(json!({"a": 1}), json!({"a": 1.0, "b": 2})), None);
    assert_eq!(fits(json!({"a": "..."}), json!({"a": [1]})), None);
    assert_eq!(fits(json!(["$x", "..."]), json!(["one", 2, 3])), None);
    assert_eq!(fits(json!("$x"), json!("one")), None);
    assert!(fits(json!("$x"), json!("two")).unwrap().contains("was \"one\""));
    assert_eq!(fits(json!({"a": [1]}), json!({"a": [1, 2]})).unwrap(), "$.a has 2 items, expected 1");
    assert_eq!(fits(json!({"a": null}), json!({})).unwrap(), "$.a is not there");
    assert_eq!(fits(json!({"a": {"b": 1}}), json!({"a": {"b": 2}})).unwrap(), "$.a.b is 2, expected 1");
    assert_eq!(filled("/x?c=$x&d=$xy", &kept), "/x?c=one&d=oney");
}
