//! A batch of one shard as `decide.lua` takes it: places in lists instead of repeated names.

use hashbrown::HashMap;
use sha2::{Digest, Sha256};

use super::Dedupe;
use super::codec::Packer;
use crate::domain::calendar::Calendar;
use crate::domain::event::{Arrival, UsageEvent};
use crate::domain::model::SETTLES;
use crate::domain::period::{Day, DaySpan, Period};
use crate::domain::{FeatureId, HoldId, UserId, WorkspaceId};

/// Width of a slot of time marks, in seconds, and how finely a place in it is told.
const SLOT_SECONDS: i64 = 300;
const SLOT_PLACES: i64 = 4096;
/// Into how many slots the arrival window is divided: it is overshot by one slot at most.
const WINDOW_SLOTS: i64 = 2;
/// How long an arrival slot that has left the window stays, for partitions that lag behind.
const PASSED_SECONDS: i64 = 900;

/// What this process knows of a workspace: where its events belong, and the newest state it saw.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The calendar by which events are placed; the script says when it is not the one in force.
    pub calendar: Calendar,
    /// Newest epoch seen.
    pub epoch: u64,
    /// Newest version seen in that epoch.
    pub version: u64,
    period: Option<Period>,
    day: Option<DaySpan>,
}

impl Known {
    /// Takes a newer calendar.
    pub fn set_calendar(&mut self, calendar: Calendar) {
        self.calendar = calendar;
        self.period = None;
        self.day = None;
    }

    /// Notes what the state has reached.
    pub fn saw(&mut self, epoch: u64, version: u64) {
        if (epoch, version) > (self.epoch, self.version) {
            (self.epoch, self.version) = (epoch, version);
        }
    }

    fn place(&mut self, event: &UsageEvent) -> (Period, Day) {
        let at = event.time;
        let period = match self.period {
            Some(period) if (period.start..period.end).contains(&at) => period,
            _ => self.calendar.period_of(at),
        };
        let day = match self.day {
            Some(span) if (span.start..span.end).contains(&at) => span,
            _ => self.calendar.day_of(at),
        };
        (self.period, self.day) = (Some(period), Some(day));
        (period, day.day)
    }
}

/// Where events were put when they were first decided, by their place among those still to decide.
pub type Moved = HashMap<usize, (Period, Day)>;

/// One call: the events it decides and the lists that its reply points into.
pub struct Request<'a> {
    /// The events, in the order of deciding.
    pub arrivals: &'a [&'a Arrival],
    /// Workspaces.
    pub workspaces: Vec<&'a WorkspaceId>,
    /// Workspace and period.
    pub groups: Vec<(usize, Period)>,
    /// Group and user.
    pub users: Vec<(usize, &'a UserId)>,
    /// Group and feature.
    pub features: Vec<(usize, &'a FeatureId)>,
    /// For each event its group, user and feature, and its day.
    pub placed: Vec<(usize, usize, usize, Day)>,
    /// Events that name a hold, with the place that their own time gives them.
    holds: Vec<(usize, Period, Day)>,
}

impl<'a> Request<'a> {
    /// Takes events from the front while the call stays within its bounds; at least one.
    pub fn gather(
        arrivals: &'a [&'a Arrival],
        known: &mut HashMap<WorkspaceId, Known>,
        moved: &Moved,
        (events_max, users_max): (usize, usize),
    ) -> Self {
        let mut request = Self {
            arrivals: &[],
            workspaces: Vec::new(),
            groups: Vec::new(),
            users: Vec::new(),
            features: Vec::new(),
            placed: Vec::new(),
            holds: Vec::new(),
        };
        let mut places = Places::default();
        for (at, arrival) in arrivals.iter().enumerate().take(events_max) {
            if request.users.len() >= users_max {
                break;
            }
            let event = &arrival.event;
            let own = known.entry_ref(&event.workspace).or_default().place(event);
            let (period, day) = moved.get(&at).copied().unwrap_or(own);
            let Some(placed) = request.index(event, period, &mut places) else { break };
            if event.hold.is_some() {
                request.holds.push((at, own.0, own.1));
            }
            request.placed.push((placed.0, placed.1, placed.2, day));
        }
        request.arrivals = &arrivals[..request.placed.len()];
        request
    }

    /// The places of an event in the lists. None when a group of the call has the same books under
    /// another period (a month without a plan may share its name with the first planned one): the
    /// call ends before the event, for two copies of the same books would overwrite each other.
    fn index(
        &mut self,
        event: &'a UsageEvent,
        period: Period,
        places: &mut Places<'a>,
    ) -> Option<(usize, usize, usize)> {
        let workspace = index(&mut places.workspaces, &event.workspace, &mut self.workspaces, |id| id);
        let key = (workspace, period.name);
        let group = index(&mut places.groups, key, &mut self.groups, |_| (workspace, period));
        let there = &self.groups[group].1;
        if (there.planned, there.end) != (period.planned, period.end) {
            return None;
        }
        let user = index(&mut places.users, (group, &event.user), &mut self.users, |key| key);
        let feature = index(&mut places.features, (group, &event.feature), &mut self.features, |key| key);
        Some((group, user, feature))
    }

    /// The argument of the script.
    pub fn pack(
        &self,
        known: &HashMap<WorkspaceId, Known>,
        committed: &[(i32, i64)],
        dedupe: Dedupe,
        now_ms: i64,
    ) -> Vec<u8> {
        let mut out = Packer::default();
        out.array(8);
        out.array(4 * self.workspaces.len());
        for id in &self.workspaces {
            let (version, epoch, seen) =
                known.get(*id).map_or((0, 0, 0), |k| (k.calendar.version(), k.epoch, k.version));
            out.text(id.as_str()).int(version as i64).int(epoch as i64).int(seen as i64);
        }
        out.array(4 * self.groups.len());
        for (workspace, period) in &self.groups {
            out.int(*workspace as i64 + 1).text(&period.name.to_string());
            out.int(i64::from(period.planned)).int(period.end.millis());
        }
        out.array(2 * self.users.len());
        for (group, user) in &self.users {
            out.int(*group as i64 + 1).text(user.as_str());
        }
        out.array(2 * self.features.len());
        for (group, feature) in &self.features {
            out.int(*group as i64 + 1).text(feature.as_str());
        }
        let (lifetime, arrival_lifetime, window_slot) = mark_lives(dedupe);
        out.array(12 * self.arrivals.len());
        for (arrival, placed) in self.arrivals.iter().zip(&self.placed) {
            pack_event(&mut out, arrival, *placed, window_slot);
        }
        out.array(2 * committed.len());
        for (partition, next) in committed {
            out.int(i64::from(*partition)).int(*next);
        }
        let taken = dedupe.taken_seconds();
        out.ints(&[now_ms, lifetime, arrival_lifetime, WINDOW_SLOTS, PASSED_SECONDS, taken]);
        self.pack_holds(&mut out);
        out.into_bytes()
    }

    fn pack_holds(&self, out: &mut Packer) {
        out.array(7 * self.holds.len());
        for (at, period, day) in &self.holds {
            let event = &self.arrivals[*at].event;
            out.int(*at as i64 + 1).text(event.hold.as_ref().map_or("", HoldId::as_str));
            out.int(i64::from(event.source == SETTLES)).text(&period.name.to_string());
            out.int(i64::from(period.planned)).int(period.end.millis()).int(i64::from(day.number()));
        }
    }
}

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
    let (slot, place) = time_slot(time);
    out.text(&marks.timed.to_string()).int(slot).int(place).text(&marks.untimed.to_string());
    let recent = now - arrived < arrival_lifetime * 1_000_000;
    out.int(if recent { arrived.div_euclid(window_slot * 1_000_000) } else { -1 }).int(epoch as i64);
}

/// The slot of a time in microseconds, and its place in there.
fn time_slot(time: i64) -> (i64, i64) {
    let slot = SLOT_SECONDS * 1_000_000;
    (time.div_euclid(slot), time.rem_euclid(slot) * SLOT_PLACES / slot)
}

fn pack_event(out: &mut Packer, arrival: &Arrival, placed: (usize, usize, usize, Day), window_slot: i64) {
    let (group, user, feature, day) = placed;
    let event = &arrival.event;
    let marks = Marks::of([event.workspace.as_str(), &event.source, &event.id], event.time.micros());
    out.int(i64::from(arrival.position.partition)).int(arrival.position.offset);
    out.int(group as i64 + 1).int(user as i64 + 1).int(feature as i64 + 1);
    out.int(i64::from(day.number())).int(arrival.event.credits.micro());
    let (slot, place) = time_slot(event.time.micros());
    out.text(&marks.timed.to_string()).int(slot);
    out.text(&marks.untimed.to_string()).int(arrival.timestamp.millis().div_euclid(window_slot * 1000));
    out.int(place);
}

/// Hashes that stand for an event's identity. Cut from SHA-256, so that nobody can make one event's
/// marks look like another's.
struct Marks {
    timed: i64,
    untimed: i64,
}

impl Marks {
    /// Of workspace, source and id, and the time in microseconds.
    fn of(identity: [&str; 3], time: i64) -> Self {
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

#[derive(Default)]
struct Places<'a> {
    workspaces: HashMap<&'a WorkspaceId, usize>,
    groups: HashMap<(usize, Day), usize>,
    users: HashMap<(usize, &'a UserId), usize>,
    features: HashMap<(usize, &'a FeatureId), usize>,
}

/// The place of a key in its list, where it is added at first sight.
fn index<K: std::hash::Hash + Eq + Copy, T>(
    places: &mut HashMap<K, usize>,
    key: K,
    list: &mut Vec<T>,
    make: impl FnOnce(K) -> T,
) -> usize {
    *places.entry(key).or_insert_with(|| {
        list.push(make(key));
        list.len() - 1
    })
}
