//! How much of a list is shown: so many rows, all of them, or what comes after a cursor.

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::refused::Refused;
use crate::cli::table::{self, Column};
use crate::domain::ports::Trouble;
use crate::domain::reports::{self, Placed};
use crate::http::page::{Limit, Page, Wanted};

/// Rows that are read from the tables at once.
const ROWS_AT_ONCE: usize = 10_000;

/// Which part of a list.
#[derive(Debug, Args)]
pub struct Paging {
    /// Rows at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000), value_name = "ROWS")]
    limit: u16,
    /// Every row
    #[arg(long, conflicts_with_all = ["limit", "cursor"])]
    all: bool,
    /// Go on from `next_cursor` of the part before
    #[arg(long)]
    cursor: Option<String>,
}

impl Paging {
    /// Rows at most.
    pub fn rows(&self) -> usize {
        if self.all { usize::MAX } else { usize::from(self.limit) }
    }

    /// From where the list goes on.
    pub fn after<P: DeserializeOwned>(&self) -> Result<Option<P>, Refused> {
        let wanted = Wanted::read(Some(Limit(usize::from(self.limit))), self.cursor.as_deref());
        let fault = || "this cursor is none of this list: pass next_cursor as it was printed".to_owned();
        wanted.map(|wanted| wanted.after).map_err(|_| Refused::invalid("invalid_cursor", fault()))
    }

    /// Page after page, until the wanted rows are there, and one more that tells whether others follow.
    pub async fn gather<T: Placed>(
        &self,
        ask: impl AsyncFn(Option<T::Place>, usize) -> Result<reports::Page<T>, Trouble>,
    ) -> Result<Page<T>, Refused>
    where
        T::Place: Serialize + DeserializeOwned,
    {
        let (wanted, mut after, mut items) = (self.rows().saturating_add(1), self.after()?, Vec::new());
        loop {
            let page = ask(after, ROWS_AT_ONCE.min(wanted - items.len())).await?;
            items.extend(page.items);
            after = page.next;
            if after.is_none() || items.len() >= wanted {
                return Ok(Page::cut(items, self.rows(), T::place));
            }
        }
    }
}

/// A list as a table; `what` names its rows. A hint follows where it was cut.
pub fn listed<T>(what: &str, columns: &[Column], page: &Page<T>, row: impl Fn(&T) -> Vec<String>) -> String {
    if page.items.is_empty() {
        return format!("no {what}");
    }
    let table = table::columns(columns, page.items.iter().map(row));
    let hint = format!("\nthe first {} {what}; more with --limit ROWS or --all", page.items.len());
    let hint = if page.next_cursor.is_some() { hint.as_str() } else { "" };
    format!("{table}{hint}")
}
