//! Changes examples: bytes, pieces of other examples, and values that have broken somebody's parser.

use tollgate::simulate::Rng;

/// Texts that are put in anywhere.
const PIECES: [&str; 48] = [
    "null",
    "true",
    "-1",
    "0",
    "1e400",
    "-0.0",
    "9007199254740993",
    "18446744073709551616",
    "0.0000001",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\u202e\"",
    "{}",
    "[]",
    "[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
    "}",
    "]",
    "\"",
    "\\",
    ",",
    ":",
    "a}{b",
    "{other}:x",
    "'; DROP TABLE usage_events; --",
    "]] .. os.exit() .. [[",
    "../../etc",
    "%00",
    "%2e%2e%2f",
    "\r\n\r\n",
    "\u{feff}",
    "\u{0}",
    "\u{7f}",
    "é",
    "😀",
    "NaN",
    "Infinity",
    "9999-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z",
    "2026-02-30",
    "2026-11-22T24:00:00+99:99",
    "pool",
    "user:",
    "team:a b",
    "id",
    "data",
    "specversion",
];

/// One of these.
pub fn one<'a, T>(rng: &mut Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.below(choices.len() as u64) as usize]
}

/// A place in so many bytes, the end too.
fn place(rng: &mut Rng, length: usize) -> usize {
    rng.below(length as u64 + 1) as usize
}

fn splice(rng: &mut Rng, bytes: &mut Vec<u8>, piece: &[u8]) {
    let (from, length) = (place(rng, bytes.len()), rng.below(8) as usize);
    let until = (from + length).min(bytes.len());
    bytes.splice(from..until, piece.iter().copied());
}

/// The bytes with some changes; `others` lend pieces.
pub fn bytes(rng: &mut Rng, from: &[u8], others: &[Vec<u8>], bytes_max: usize) -> Vec<u8> {
    let mut bytes = from.to_vec();
    for _ in 0..rng.below(5) {
        match rng.below(7) {
            0 if !bytes.is_empty() => {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << rng.below(8);
            }
            1 => {
                let piece = *one(rng, &PIECES);
                splice(rng, &mut bytes, piece.as_bytes());
            }
            2 => {
                let at = place(rng, bytes.len());
                bytes.truncate(at);
            }
            3 if !others.is_empty() => {
                let other = one(rng, others);
                let (from, until) = (place(rng, other.len()), place(rng, other.len()));
                let piece = other[from.min(until)..from.max(until)].to_vec();
                splice(rng, &mut bytes, &piece);
            }
            4 => {
                let (from, until) = (place(rng, bytes.len()), place(rng, bytes.len()));
                let piece = bytes[from.min(until)..from.max(until)].to_vec();
                let times_max = if rng.chance(100) { 2_000 } else { 3 };
                let times = 1 + rng.below(times_max);
                for _ in 0..times.min(bytes_max as u64 / (piece.len() as u64 + 1)) {
                    splice(rng, &mut bytes, &piece);
                }
            }
            5 => value(rng, &mut bytes),
            _ => {
                let byte = rng.below(256) as u8;
                splice(rng, &mut bytes, &[byte]);
            }
        }
        bytes.truncate(bytes_max);
    }
    bytes
}

/// Puts a piece in the place of one JSON value: what stands behind a colon, up to the next comma or brace.
fn value(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let colons: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b':').collect();
    if colons.is_empty() {
        return;
    }
    let from = one(rng, &colons) + 1;
    let end = bytes[from..].iter().position(|byte| b",}]".contains(byte)).map_or(bytes.len(), |at| from + at);
    let piece = match rng.below(3) {
        0 => format!("\"{}\"", "x".repeat(rng.below(300) as usize)),
        1 => format!("{}", rng.number()),
        _ => (*one(rng, &PIECES)).to_owned(),
    };
    bytes.splice(from..end, piece.bytes());
}

/// A text with some changes.
pub fn text(rng: &mut Rng, from: &str, others: &[Vec<u8>], bytes_max: usize) -> String {
    String::from_utf8_lossy(&bytes(rng, from.as_bytes(), others, bytes_max)).into_owned()
}
