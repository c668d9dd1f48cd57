//! ClickHouse's Native format: rows as one block, a column at a time.
//!
//! The driver's row format costs the server three times as much per row, because it must be taken
//! apart value by value. Here a table is a list of columns, each a name and a way to get its value;
//! type names follow from the way. Texts go as `String` whatever the table makes of them: the
//! server turns them into `LowCardinality` cheaply.

use crate::domain::credits::Credits;
use crate::domain::event::Header;
use crate::domain::period::{Day, Instant};

/// A column's name, as the table spells it, and how its value is got.
pub(super) struct Column<T>(pub(super) &'static str, pub(super) Get<T>);

/// How a value is got, and by that its type in ClickHouse.
pub(super) enum Get<T> {
    /// `String`.
    Text(fn(&T) -> &str),
    /// `String`, made for the purpose.
    Made(fn(&T) -> String),
    /// `Nullable(String)`, any bytes.
    Bytes(fn(&T) -> Option<&[u8]>),
    /// `Array(Tuple(String, Nullable(String)))`.
    Headers(fn(&T) -> &[Header]),
    /// `Bool`.
    Flag(fn(&T) -> bool),
    /// `Int32`.
    Int32(fn(&T) -> i32),
    /// `Int64`.
    Int64(fn(&T) -> i64),
    /// `UInt64`.
    Count(fn(&T) -> u64),
    /// `Nullable(UInt64)`.
    CountOrNull(fn(&T) -> Option<u64>),
    /// `Decimal(18, 6)`.
    Amount(fn(&T) -> Credits),
    /// `Nullable(Decimal(18, 6))`.
    AmountOrNull(fn(&T) -> Option<Credits>),
    /// `Decimal(38, 6)`, from microcredits.
    WideAmount(fn(&T) -> i128),
    /// `Date`.
    Day(fn(&T) -> Day),
    /// `DateTime64(6, 'UTC')`.
    Micros(fn(&T) -> Instant),
    /// `DateTime64(3, 'UTC')`.
    Millis(fn(&T) -> Instant),
    /// `DateTime('UTC')` at the start of the minute.
    Minute(fn(&T) -> Instant),
}

impl<T> Get<T> {
    /// The name of the type, as the server reads it.
    fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Made(_) => "String",
            Self::Bytes(_) => "Nullable(String)",
            Self::Headers(_) => "Array(Tuple(String, Nullable(String)))",
            Self::Flag(_) => "Bool",
            Self::Int32(_) => "Int32",
            Self::Int64(_) => "Int64",
            Self::Count(_) => "UInt64",
            Self::CountOrNull(_) => "Nullable(UInt64)",
            Self::Amount(_) => "Decimal(18, 6)",
            Self::AmountOrNull(_) => "Nullable(Decimal(18, 6))",
            Self::WideAmount(_) => "Decimal(38, 6)",
            Self::Day(_) => "Date",
            Self::Micros(_) => "DateTime64(6, 'UTC')",
            Self::Millis(_) => "DateTime64(3, 'UTC')",
            Self::Minute(_) => "DateTime('UTC')",
        }
    }

    fn put(&self, out: &mut Vec<u8>, rows: &[&T]) {
        match self {
            Self::Text(get) => rows.iter().for_each(|row| put_bytes(out, get(row).as_bytes())),
            Self::Made(get) => rows.iter().for_each(|row| put_bytes(out, get(row).as_bytes())),
            Self::Bytes(get) => put_bytes_or_null(out, rows.iter().map(|row| get(row))),
            Self::Headers(get) => put_headers(out, rows.iter().map(|row| get(row))),
            Self::Flag(get) => out.extend(rows.iter().map(|row| u8::from(get(row)))),
            Self::Int32(get) => put_all(out, rows, |row| get(row).to_le_bytes()),
            Self::Int64(get) => put_all(out, rows, |row| get(row).to_le_bytes()),
            Self::Count(get) => put_all(out, rows, |row| get(row).to_le_bytes()),
            Self::CountOrNull(get) => put_all_or_null(out, rows, |row| get(row).map(u64::to_le_bytes)),
            Self::Amount(get) => put_all(out, rows, |row| get(row).micro().to_le_bytes()),
            Self::AmountOrNull(get) => {
                put_all_or_null(out, rows, |row| get(row).map(|credits| credits.micro().to_le_bytes()));
            }
            Self::WideAmount(get) => put_all(out, rows, |row| get(row).to_le_bytes()),
            Self::Day(get) => put_all(out, rows, |row| date(get(row)).to_le_bytes()),
            Self::Micros(get) => put_all(out, rows, |row| get(row).micros().to_le_bytes()),
            Self::Millis(get) => put_all(out, rows, |row| get(row).millis().to_le_bytes()),
            Self::Minute(get) => put_all(out, rows, |row| minute(get(row)).to_le_bytes()),
        }
    }
}

/// The rows as one block: numbers of columns and rows, then each column's name, type and values.
pub(super) async fn block<T>(columns: &[Column<T>], rows: &[&T]) -> Vec<u8> {
    // Room for rows of 8 bytes a column and some text; more is grown.
    let mut out = Vec::with_capacity(rows.len() * columns.len() * 8);
    put_length(&mut out, columns.len());
    put_length(&mut out, rows.len());
    for Column(name, get) in columns {
        put_bytes(&mut out, name.as_bytes());
        put_bytes(&mut out, get.type_name().as_bytes());
        get.put(&mut out, rows);
        // 100,000 rows take some 50 ms altogether; a check must not wait that long for its turn.
        tokio::task::yield_now().await;
    }
    out
}

fn put_all<T, const N: usize>(out: &mut Vec<u8>, rows: &[&T], value: impl Fn(&T) -> [u8; N]) {
    rows.iter().for_each(|row| out.extend_from_slice(&value(row)));
}

/// First which are NULL, then all values, zeros in the place of NULLs.
fn put_all_or_null<T, const N: usize>(out: &mut Vec<u8>, rows: &[&T], value: impl Fn(&T) -> Option<[u8; N]>) {
    out.extend(rows.iter().map(|row| u8::from(value(row).is_none())));
    put_all(out, rows, |row| value(row).unwrap_or([0; N]));
}

fn put_bytes_or_null<'a>(out: &mut Vec<u8>, values: impl Iterator<Item = Option<&'a [u8]>> + Clone) {
    out.extend(values.clone().map(|value| u8::from(value.is_none())));
    values.for_each(|value| put_bytes(out, value.unwrap_or_default()));
}

/// First where each row's headers end, then all names, then all values.
fn put_headers<'a>(out: &mut Vec<u8>, rows: impl Iterator<Item = &'a [Header]> + Clone) {
    let mut end = 0_u64;
    for headers in rows.clone() {
        end += headers.len() as u64;
        out.extend_from_slice(&end.to_le_bytes());
    }
    rows.clone().flatten().for_each(|header| put_bytes(out, header.name.as_bytes()));
    put_bytes_or_null(out, rows.flatten().map(|header| header.value.as_deref()));
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// LEB128: 7 bits a byte, the lowest first, the eighth says that more follow.
fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// A day outside 1970..2149, which no accepted event has, becomes the nearest inside.
fn date(day: Day) -> u16 {
    day.number().clamp(0, i32::from(u16::MAX)) as u16
}

/// Seconds at the start of the minute, with the same care for what cannot happen.
fn minute(at: Instant) -> u32 {
    (at.micros().div_euclid(60_000_000) * 60).clamp(0, i64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_block_is_columns_one_after_the_other() {
        let columns: [Column<(&str, Option<u64>)>; 2] =
            [Column("name", Get::Text(|row| row.0)), Column("n", Get::CountOrNull(|row| row.1))];
        let expected = [
            b"\x02\x02\x04name\x06String\x01a\x02bc".as_slice(),
            b"\x01n\x10Nullable(UInt64)\x00\x01",
            &7_u64.to_le_bytes(),
            &[0; 8],
        ];
        let rows = [("a", Some(7)), ("bc", None)];
        assert_eq!(block(&columns, &[&rows[0], &rows[1]]).await, expected.concat());
    }

    #[test]
    fn lengths_take_seven_bits_a_byte() {
        let written = |length| {
            let mut out = Vec::new();
            put_length(&mut out, length);
            out
        };
        assert_eq!(written(127), [127]);
        assert_eq!(written(128), [0x80, 1]);
        assert_eq!(written(300_000), [0xe0, 0xa7, 0x12]);
    }

    #[test]
    fn what_a_column_cannot_hold_becomes_the_nearest() {
        assert_eq!(date(Day::from_number(-1)), 0);
        assert_eq!(date(Day::from_number(70_000)), u16::MAX);
        assert_eq!(minute(Instant::from_micros(119_999_999)), 60);
        assert_eq!(minute(Instant::from_micros(-1)), 0);
    }
}
