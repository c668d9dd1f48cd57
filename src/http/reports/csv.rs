//! Usage as CSV (RFC 4180): a header row with the names that JSON has too, then rows, page after page
//! as the client takes them. No more than a page is ever held.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;

use crate::domain::WorkspaceId;
use crate::domain::ports::Trouble;
use crate::domain::reports::{Dimension, Page, Reports, UsageQuery, UsageRow};

/// The content type, which also says that the first row names the columns.
pub const CONTENT_TYPE: &str = "text/csv; charset=utf-8; header=present";
/// Rows that are read at once: some megabytes.
const PAGE_ROWS: usize = 10_000;

/// What is still to be sent.
struct Rest {
    reports: Arc<dyn Reports>,
    workspace: WorkspaceId,
    query: UsageQuery,
    /// Rows that may still follow; none: all.
    rows_max: Option<usize>,
}

/// All rows behind the query's place, at most so many. Errors: when not even the first can be read;
/// one that strikes later breaks the body off, so that nobody takes a part for the whole.
pub async fn answer(
    reports: Arc<dyn Reports>,
    workspace: WorkspaceId,
    query: UsageQuery,
    rows_max: Option<usize>,
) -> Result<Response, Trouble> {
    let header = line(query.group_by.iter().map(|by| by.as_str()).chain(UsageRow::SUMS));
    let mut rest = Rest { reports, workspace, query, rows_max };
    let first = rest.page().await?;
    let (first, rest) = (header + &lines(&first.items), rest.behind(first));
    let pages = stream::try_unfold((Some(first), rest), |(ready, rest)| async move {
        if let Some(text) = ready {
            return Ok(Some((Bytes::from(text), (None, rest))));
        }
        let Some(mut rest) = rest else { return Ok(None) };
        let page = rest.page().await.inspect_err(|fault| tracing::warn!(%fault, "a CSV was broken off"))?;
        Ok::<_, Trouble>(Some((Bytes::from(lines(&page.items)), (None, rest.behind(page)))))
    });
    let headers = [
        (header::CONTENT_TYPE, CONTENT_TYPE),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"usage.csv\""),
    ];
    Ok((headers, Body::from_stream(pages)).into_response())
}

impl Rest {
    async fn page(&mut self) -> Result<Page<UsageRow>, Trouble> {
        self.query.limit = self.rows_max.map_or(PAGE_ROWS, |rows| rows.min(PAGE_ROWS));
        self.reports.usage(&self.workspace, &self.query).await
    }

    /// What follows a page; none when nothing does.
    fn behind(mut self, page: Page<UsageRow>) -> Option<Self> {
        self.rows_max = self.rows_max.map(|rows| rows - page.items.len());
        self.query.after = page.next;
        (self.query.after.is_some() && self.rows_max != Some(0)).then_some(self)
    }
}

fn lines(rows: &[UsageRow]) -> String {
    rows.iter().map(row).collect()
}

fn row(row: &UsageRow) -> String {
    let sums = row.sums();
    line(
        row.by
            .iter()
            .map(|(_, value): &(Dimension, String)| value.as_str())
            .chain(sums.iter().map(String::as_str)),
    )
}

fn line<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    let fields: Vec<String> = fields.map(quoted).collect();
    fields.join(",") + "\r\n"
}

fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_when_it_must_be() {
        for (field, written) in [
            ("m-1", "m-1"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("a\nb", "\"a\nb\""),
        ] {
            assert_eq!(quoted(field), written);
        }
        assert_eq!(line(["a", "b,c"].into_iter()), "a,\"b,c\"\r\n");
    }
}
