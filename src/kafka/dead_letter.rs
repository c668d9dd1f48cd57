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
