//! What Grafana and its ClickHouse plugin put in place of `$`: as much of it as our dashboards use,
//! in the plugin's own words. Anything else is a fault, so that no query passes here and fails there.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan};

/// What a browser knows when it sends a query: the time range and the chosen variables.
pub struct Browser {
    /// The range's beginning; its end is `to`.
    pub from: Timestamp,
    /// The range's end.
    pub to: Timestamp,
    /// Chosen values by variable.
    pub variables: BTreeMap<&'static str, &'static str>,
}

impl Browser {
    /// The last 30 days, the dashboard's own range, and these choices.
    pub fn with(variables: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        let now = Timestamp::now();
        let (from, to) = (now - (30 * 24).hours(), now + 1.minute());
        Self { from, to, variables: variables.into_iter().collect() }
    }

    /// The query as it reaches ClickHouse. Errors: what is unknown or not closed, in words.
    pub fn expand(&self, sql: &str) -> Result<String, String> {
        let Some((before, rest)) = sql.split_once('$') else { return Ok(sql.to_owned()) };
        let (value, rest) = match rest.strip_prefix("__") {
            Some(call) => self.call(call)?,
            None => self.variable(rest)?,
        };
        Ok(format!("{before}{value}{}", self.expand(rest)?))
    }

    /// `{name:singlequote}`: the only form that cannot be broken out of.
    fn variable<'a>(&self, text: &'a str) -> Result<(String, &'a str), String> {
        let braced = text.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (reference, rest) = braced.ok_or_else(|| format!("write ${{name:singlequote}}: ${text}"))?;
        let name =
            reference.strip_suffix(":singlequote").ok_or_else(|| format!("unquoted: ${{{reference}}}"))?;
        let value = self.variables.get(name).ok_or_else(|| format!("unknown variable {name}"))?;
        Ok((format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'")), rest))
    }

    /// `name(column)`.
    fn call<'a>(&self, text: &'a str) -> Result<(String, &'a str), String> {
        let (name, rest) = text.split_once('(').ok_or_else(|| format!("no arguments: $__{text}"))?;
        let (column, rest) = rest.split_once(')').ok_or_else(|| format!("not closed: $__{text}"))?;
        let (from, to) = (self.from.as_second(), self.to.as_second());
        let (first, last) = (self.from.strftime("%F"), self.to.strftime("%F"));
        let sql = match name {
            "timeFilter" => format!("{column} >= toDateTime({from}) AND {column} <= toDateTime({to})"),
            "dateFilter" => format!("{column} >= toDate('{first}') AND {column} <= toDate('{last}')"),
            "timeInterval" => format!("toStartOfInterval(toDateTime({column}), INTERVAL 60 second)"),
            _ => return Err(format!("unknown macro $__{name}")),
        };
        Ok((sql, rest))
    }
}

#[test]
fn what_is_not_known_is_a_fault() {
    let browser = Browser::with([("workspace", "o'hara")]);
    let cases = [
        ("SELECT ${workspace:singlequote}", Ok(r"SELECT 'o\'hara'")),
        ("SELECT ${workspace}", Err("unquoted: ${workspace}")),
        ("SELECT $workspace", Err("write ${name:singlequote}: $workspace")),
        ("SELECT ${team:singlequote}", Err("unknown variable team")),
        ("WHERE $__timeFilterMs(t)", Err("unknown macro $__timeFilterMs")),
        ("WHERE $__timeFilter(t", Err("not closed: $__timeFilter(t")),
        ("SELECT $__interval_s", Err("no arguments: $__interval_s")),
    ];
    for (sql, wanted) in cases {
        assert_eq!(browser.expand(sql), wanted.map(str::to_owned).map_err(str::to_owned));
    }
}
