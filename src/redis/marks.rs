//! Duplicate marks as this side makes them: 64-bit hashes, and where in time they lie. What Redis keeps of them
//! is told in `scripts/marks.lua`.

use sha2::{Digest, Sha256};

use super::Dedupe;
use super::codec::Packer;

/// Width of a slot of time marks, in seconds, and how finely a place in it is told.
const SLOT_SECONDS: i64 = 300;
const SLOT_PLACES: i64 = 4096;
/// Into how many slots the arrival window is divided: it is overshot by one slot at most.
pub const WINDOW_SLOTS: i64 = 1;
/// How long an arrival slot that has left the window stays, for partitions that lag behind.
pub const PASSED_SECONDS: i64 = 900;

/// How long marks of both families live, and how wide a slot of arrivals is: all in seconds.
pub fn mark_lives(dedupe: Dedupe) -> (i64, i64, i64) {
    let window_slot = (dedupe.window_seconds / WINDOW_SLOTS).max(1);
    let lifetime = dedupe.age_seconds_max + dedupe.window_seconds + dedupe.outage_seconds_max + SLOT_SECONDS;
    (lifetime, dedupe.window_seconds + window_slot + dedupe.outage_seconds_max, window_slot)
}

/// Opens the argument of `restore.lua`: what follows is the list of so many marked events.
pub fn pack_lives(out: &mut Packer, dedupe: Dedupe, events: usize) {
    let (lifetime, arrival_lifetime, _) = mark_lives(dedupe);
    out.array(5).int(lifetime).int(arrival_lifetime).int(WINDOW_SLOTS).int(PASSED_SECONDS).array(6 * events);
}

/// One event that was recorded, for `restore.lua`: its marks, the second one only while a resend may still be
/// recognised by it.
pub fn pack_marks(
    out: &mut Packer,
    epoch: u64,
    identity: [&str; 3],
    (time, arrived): (i64, i64),
    now: i64,
    dedupe: Dedupe,
) {
    let (_, arrival_lifetime, window_slot) = mark_lives(dedupe);
    let marks = Marks::of(identity, time);
    let time = fine_slot(time);
    out.decimal(marks.timed).int(time / SLOT_PLACES).int(time % SLOT_PLACES).decimal(marks.untimed);
    let recent = now - arrived < arrival_lifetime * 1_000_000;
    out.int(if recent { arrived.div_euclid(window_slot * 1_000_000) } else { -1 }).int(epoch as i64);
}

/// The slot of a time in microseconds and its place in there, 0..4095, as one number: slot * 4096 + place.
pub fn fine_slot(time: i64) -> i64 {
    (i128::from(time) * i128::from(SLOT_PLACES)).div_euclid(i128::from(SLOT_SECONDS) * 1_000_000) as i64
}

/// Hashes that stand for an event's identity. Cut from SHA-256, so that nobody can make one event's
/// marks look like another's.
pub struct Marks {
    /// With the event's time.
    pub timed: i64,
    /// Without.
    pub untimed: i64,
}

impl Marks {
    /// Of workspace, source and id, and the time in microseconds.
    pub fn of(identity: [&str; 3], time: i64) -> Self {
        let mut hash = Sha256::new();
        for part in identity {
            hash.update((part.len() as u32).to_le_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let word = |at: usize| i64::from_le_bytes(std::array::from_fn(|i| digest[at + i]));
        let timed = word(8) ^ scatter(time);
        Self { timed, untimed: word(0) }
    }
}

/// Spreads a number over all 64 bits (the finaliser of SplitMix64).
fn scatter(number: i64) -> i64 {
    let mut x = (number as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) as i64
}
