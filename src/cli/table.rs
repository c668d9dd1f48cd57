//! Tables for people: text to the left, numbers to the right, and a hint where a list was cut.

use std::io::{ErrorKind, Write};

use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::domain::period::Instant;

/// A column by its header.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    /// Words, to the left.
    Text(&'static str),
    /// Amounts, to the right.
    Number(&'static str),
}

impl Column {
    fn header(self) -> &'static str {
        match self {
            Self::Text(header) | Self::Number(header) => header,
        }
    }

    fn alignment(self) -> CellAlignment {
        match self {
            Self::Text(_) => CellAlignment::Left,
            Self::Number(_) => CellAlignment::Right,
        }
    }
}

/// A table of these columns.
pub fn columns(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    let cell = |(text, column): (String, &Column)| Cell::new(text).set_alignment(column.alignment());
    let headers = columns.iter().map(|column| column.header().to_owned());
    table.set_header(headers.zip(columns).map(cell));
    for row in rows {
        table.add_row(row.into_iter().zip(columns).map(cell));
    }
    table
}

/// A table whose first column is text and the others numbers.
pub fn table(header: &[&'static str], rows: Vec<Vec<String>>) -> Table {
    let kind = |(at, header): (usize, &&'static str)| {
        if at == 0 { Column::Text(header) } else { Column::Number(header) }
    };
    columns(&header.iter().enumerate().map(kind).collect::<Vec<_>>(), rows)
}

/// What is there, or a dash.
pub fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}

/// An instant for people: to the second, in UTC.
pub fn when(at: Instant) -> String {
    at.timestamp().strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A share for people.
pub fn percent(share: Option<f64>) -> String {
    or_dash(share.map(|share| format!("{:.1} %", share * 100.0)))
}

/// Prints to standard output. A reader that has seen enough, as `head` does, is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(fault) if fault.kind() != ErrorKind::BrokenPipe => Err(fault.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let rows = [vec!["ann".into(), "7".into(), "x".into()], vec!["b".into(), "1234".into(), "y".into()]];
        let text = columns(&[Column::Text("user"), Column::Number("used"), Column::Text("team")], rows);
        let text = text.to_string();
        assert!(text.contains(" ann     7   x"), "{text}");
        assert!(text.contains(" b    1234   y"), "{text}");
    }
}
