//! A record that is no event, as a message for the dead letters: what came, untouched, and why it
//! was refused, in headers that come last.

use sha2::{Digest, Sha256};

use super::Message;
use crate::domain::event::Header;
use crate::domain::record::DeadLetter;

/// What Kafka and the driver add to the parts of a message, generously, in bytes.
const FRAME_BYTES: usize = 1024;
/// The same for one header.
const HEADER_FRAME_BYTES: usize = 16;

/// The message of a dead letter. Past `bytes_max` the original is cut: first its bytes, and when that
/// is not enough its headers and key; `truncated` then tells the original length of the bytes and
/// `sha256` their hash.
pub fn message(letter: &DeadLetter, bytes_max: usize) -> Message {
    let mut message =
        Message { key: letter.key.clone(), payload: letter.payload.clone(), headers: letter.headers.clone() };
    message.headers.extend(reasons(letter));
    if size(&message) > bytes_max {
        message = cut(letter, bytes_max);
    }
    message
}

fn cut(letter: &DeadLetter, bytes_max: usize) -> Message {
    let payload = letter.payload.as_deref().unwrap_or_default();
    let mut marks = reasons(letter);
    marks.push(text("truncated", &payload.len().to_string()));
    marks.push(text("sha256", &hex(payload)));
    let mut headers = letter.headers.clone();
    headers.extend(marks.clone());
    let mut message = Message { key: letter.key.clone(), payload: None, headers };
    // Headers or a key of that size are no producer's honest work: the bytes tell more.
    if size(&message) > bytes_max / 2 {
        message = Message { key: None, payload: None, headers: marks };
    }
    let room = bytes_max.saturating_sub(size(&message));
    message.payload = letter.payload.as_ref().map(|bytes| bytes[..bytes.len().min(room)].to_vec());
    message
}

/// Why and where from; readers take the last header of a name.
fn reasons(letter: &DeadLetter) -> Vec<Header> {
    vec![
        text("reason", letter.reason.as_str()),
        text("detail", &letter.detail),
        text("topic", &letter.topic),
        text("partition", &letter.position.partition.to_string()),
        text("offset", &letter.position.offset.to_string()),
    ]
}

fn text(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: Some(value.as_bytes().to_vec()) }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn size(message: &Message) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers = message.headers.iter().map(|h| h.name.len() + length(&h.value) + HEADER_FRAME_BYTES);
    FRAME_BYTES + length(&message.key) + length(&message.payload) + headers.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{Position, RejectReason};
    use crate::domain::period::Instant;

    const BYTES_MAX: usize = 4096;

    fn letter(key: &[u8], payload: &[u8], header: &[u8]) -> DeadLetter {
        DeadLetter {
            reason: RejectReason::MalformedJson,
            detail: "not one object".to_owned(),
            topic: "ai.usage.events".to_owned(),
            position: Position { partition: 3, offset: 42 },
            timestamp: Instant::from_millis(1),
            key: Some(key.to_vec()),
            payload: Some(payload.to_vec()),
            headers: vec![Header { name: "reason".to_owned(), value: Some(header.to_vec()) }],
        }
    }

    fn last<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
        let header = message.headers.iter().rev().find(|header| header.name == name)?;
        std::str::from_utf8(header.value.as_deref()?).ok()
    }

    #[test]
    fn the_original_is_untouched_and_our_headers_come_last() {
        let message = message(&letter(b"acme", b"{", b"theirs"), BYTES_MAX);
        assert_eq!(
            (message.key.as_deref(), message.payload.as_deref()),
            (Some(&b"acme"[..]), Some(&b"{"[..]))
        );
        assert_eq!(message.headers[0].value.as_deref(), Some(&b"theirs"[..]));
        let ours = ["reason", "detail", "topic", "partition", "offset"].map(|name| last(&message, name));
        let told = ["malformed_json", "not one object", "ai.usage.events", "3", "42"].map(Some);
        assert_eq!(ours, told);
        assert_eq!(last(&message, "truncated"), None);
    }

    #[test]
    fn what_is_too_large_is_cut_and_says_so() {
        let payload = vec![b'x'; 3 * BYTES_MAX];
        let cut = message(&letter(b"acme", &payload, b"theirs"), BYTES_MAX);
        assert_eq!(size(&cut), BYTES_MAX);
        assert_eq!(cut.headers[0].value.as_deref(), Some(&b"theirs"[..]));
        assert_eq!(last(&cut, "truncated"), Some("12288"));
        assert_eq!(last(&cut, "sha256"), Some(&*hex(&payload)));
        assert_eq!(last(&cut, "reason"), Some("malformed_json"));
    }

    #[test]
    fn oversized_headers_and_keys_make_room_for_the_bytes() {
        let large = vec![b'h'; BYTES_MAX];
        for letter in [letter(b"acme", b"body", &large), letter(&large, b"body", b"small")] {
            let cut = message(&letter, BYTES_MAX);
            assert!(size(&cut) <= BYTES_MAX);
            assert_eq!((cut.key.as_deref(), cut.payload.as_deref()), (None, Some(&b"body"[..])));
            assert_eq!(last(&cut, "truncated"), Some("4"));
        }
    }

    #[test]
    fn a_record_without_bytes_stays_without() {
        let empty = DeadLetter { key: None, payload: None, ..letter(b"", b"", b"") };
        let message = message(&empty, BYTES_MAX);
        assert_eq!((message.key, message.payload), (None, None));
    }

    #[test]
    fn the_hash_is_the_usual_one() {
        assert_eq!(hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
