//! Copies a record out of the driver's memory. Nothing here may fail: a poison record must reach the
//! decoder, which knows what to do with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant as Clock;

use rdkafka::message::{BorrowedMessage, Headers, Message as _};

use crate::domain::event::{Header, Position};
use crate::domain::period::Instant;
use crate::kafka::Record;

/// Records collected for the next batch.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// In the order they were polled.
    pub(super) records: Vec<Record>,
    /// Their keys, payloads and header values.
    pub(super) bytes: usize,
    /// When the first of them came.
    pub(super) since: Option<Clock>,
}

impl Pending {
    pub(super) fn push(&mut self, record: Record) {
        self.since.get_or_insert_with(Clock::now);
        self.bytes += size(&record);
        self.records.push(record);
    }

    /// Forgets the records of partitions that are no longer ours: their new owner reads them.
    pub(super) fn forget(&mut self, partitions: &[i32]) {
        self.records.retain(|record| !partitions.contains(&record.position.partition));
        self.bytes = self.records.iter().map(size).sum();
        self.since = self.since.filter(|_| !self.records.is_empty());
    }

    /// Takes everything, leaving room for as much.
    pub(super) fn take(&mut self) -> Vec<Record> {
        (self.bytes, self.since) = (0, None);
        let room = self.records.len();
        std::mem::replace(&mut self.records, Vec::with_capacity(room))
    }
}

fn size(record: &Record) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers = record.headers.iter().map(|header| header.name.len() + length(&header.value));
    length(&record.key) + length(&record.payload) + headers.sum::<usize>()
}

/// The last offset of each partition.
pub(super) fn last_offsets(records: &[Record]) -> Vec<(i32, i64)> {
    let mut last: Vec<(i32, i64)> = Vec::new();
    for Position { partition, offset } in records.iter().map(|record| record.position) {
        match last.iter_mut().find(|(number, _)| *number == partition) {
            Some(entry) => entry.1 = offset,
            None => last.push((partition, offset)),
        }
    }
    last
}

/// The record behind a message of the driver.
pub(super) fn copy(message: &BorrowedMessage<'_>) -> Record {
    Record {
        position: Position { partition: message.partition(), offset: message.offset() },
        timestamp: Instant::from_millis(message.timestamp().to_millis().unwrap_or(0)),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: message.headers().map(headers).unwrap_or_default(),
    }
}

fn headers(headers: &impl Headers) -> Vec<Header> {
    (0..headers.count()).map(|at| header(headers, at)).collect()
}

/// The driver panics on a name that is not UTF-8, which any producer may send; such a header keeps
/// its place and loses name and value.
fn header(headers: &impl Headers, at: usize) -> Header {
    let read = catch_unwind(AssertUnwindSafe(|| headers.try_get(at)));
    match read {
        Ok(Some(header)) => Header { name: header.key.to_owned(), value: header.value.map(<[u8]>::to_vec) },
        Ok(None) | Err(_) => Header { name: char::REPLACEMENT_CHARACTER.to_string(), value: None },
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Header as DriverHeader;

    use super::*;

    /// Three headers, of which the driver cannot read the second.
    struct Poisoned;

    impl Headers for Poisoned {
        fn count(&self) -> usize {
            3
        }

        fn try_get(&self, at: usize) -> Option<DriverHeader<'_, &[u8]>> {
            assert_ne!(at, 1, "as the driver does for a name that is not UTF-8");
            Some(DriverHeader { key: "ce_id", value: (at == 0).then_some(&b"7"[..]) })
        }
    }

    #[test]
    fn a_header_that_cannot_be_read_keeps_its_place() {
        let read = headers(&Poisoned);
        let expected = [("ce_id", Some(b"7".to_vec())), ("\u{fffd}", None), ("ce_id", None)];
        let expected = expected.map(|(name, value)| Header { name: name.to_owned(), value });
        assert_eq!(read, expected);
    }

    #[test]
    fn pending_counts_its_bytes_and_forgets_partitions() {
        let record = |partition, offset| Record {
            position: Position { partition, offset },
            timestamp: Instant::default(),
            key: Some(b"acme".to_vec()),
            payload: Some(b"{}".to_vec()),
            headers: vec![Header { name: "a".to_owned(), value: Some(b"b".to_vec()) }],
        };
        let mut pending = Pending::default();
        for (partition, offset) in [(0, 5), (1, 8), (0, 6), (1, 9), (2, 0)] {
            pending.push(record(partition, offset));
        }
        assert_eq!((pending.bytes, last_offsets(&pending.records)), (40, vec![(0, 6), (1, 9), (2, 0)]));
        pending.forget(&[1, 2]);
        assert_eq!((pending.bytes, last_offsets(&pending.records)), (16, vec![(0, 6)]));
        assert!(pending.since.is_some());
        assert_eq!((pending.take().len(), pending.bytes, pending.records.len()), (2, 0, 0));
        assert_eq!(pending.since, None);
        pending.push(record(3, 1));
        pending.forget(&[3]);
        assert_eq!(pending.since, None);
    }
}
