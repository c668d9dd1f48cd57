//! A batch of one shard as `decide.lua` takes it: places in lists instead of repeated names.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;

use super::Dedupe;
use super::codec::Packer;
use super::marks::{Marks, PASSED_SECONDS, WINDOW_SLOTS, fine_slot, mark_lives};
use crate::domain::calendar::Calendar;
use crate::domain::event::{Arrival, UsageEvent};
use crate::domain::model::SETTLES;
use crate::domain::period::{Day, DaySpan, Instant, Period};
use crate::domain::{FeatureId, HoldId, UserId, WorkspaceId};

/// What this process knows of a workspace: where its events belong, and the newest state it saw.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The calendar by which events are placed; the script says when it is not the one in force.
    pub calendar: Arc<Calendar>,
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
        self.calendar = Arc::new(calendar);
        self.period = None;
        self.day = None;
    }

    /// Notes what the state has reached.
    pub fn saw(&mut self, epoch: u64, version: u64) {
        if (epoch, version) > (self.epoch, self.version) {
            (self.epoch, self.version) = (epoch, version);
        }
    }

    /// The period that contains an instant.
    pub fn period_of(&mut self, at: Instant) -> Period {
        let period = self.period.filter(|period| (period.start..period.end).contains(&at));
        let period = period.unwrap_or_else(|| self.calendar.period_of(at));
        self.period = Some(period);
        period
    }

    fn place(&mut self, event: &UsageEvent) -> (Period, Day) {
        let at = event.time;
        let period = self.period_of(at);
        let day = match self.day {
            Some(span) if (span.start..span.end).contains(&at) => span,
            _ => self.calendar.day_of(at),
        };
        self.day = Some(day);
        (period, day.day)
    }
}

/// Where events were put when they were first decided, by their place among those still to decide.
pub type Moved = HashMap<usize, (Period, Day)>;

/// The events of one workspace from one partition: a stretch of a call.
#[derive(Debug, Clone, Copy)]
struct Part {
    workspace: usize,
    partition: i32,
    last_offset: i64,
    /// The place behind its last event.
    end: usize,
}

/// A user, a feature and a day, the first two by their places.
type Cell = (usize, usize, Day);

/// One call: the events it decides and the lists that its reply points into.
pub struct Request<'a> {
    /// The events, in the order of deciding: those of one partition together, in there those of one workspace.
    pub arrivals: &'a [&'a Arrival],
    /// Workspaces.
    pub workspaces: Vec<&'a WorkspaceId>,
    /// Workspace and period.
    pub groups: Vec<(usize, Period)>,
    /// Group and user.
    pub users: Vec<(usize, &'a UserId)>,
    /// Group and feature.
    pub features: Vec<(usize, &'a FeatureId)>,
    /// User, feature and day.
    pub cells: Vec<Cell>,
    /// For each event its cell.
    pub placed: Vec<usize>,
    parts: Vec<Part>,
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
            cells: Vec::new(),
            placed: Vec::new(),
            parts: Vec::new(),
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
            let Some(workspace) = request.part(arrival, &mut places) else { break };
            let Some(cell) = request.index(workspace, event, (period, day), &mut places) else { break };
            if event.hold.is_some() {
                request.holds.push((at, own.0, own.1));
            }
            request.placed.push(cell);
            request.parts.last_mut().into_iter().for_each(|part| part.end = at + 1);
        }
        request.parts.retain(|part| part.end > 0);
        request.arrivals = &arrivals[..request.placed.len()];
        request
    }

    /// The group of an event.
    pub fn group_of(&self, at: usize) -> usize {
        self.users[self.cells[self.placed[at]].0].0
    }

    /// The first event of a group, when others of the same workspace in another period come before it.
    pub fn behind_another_period(&self, group: usize) -> Option<usize> {
        let first = (0..self.placed.len()).find(|at| self.group_of(*at) == group)?;
        let workspace = self.groups[group].0;
        (0..first).any(|at| self.groups[self.group_of(at)].0 == workspace).then_some(first)
    }

    /// The day of an event.
    pub fn day_of(&self, at: usize) -> Day {
        self.cells[self.placed[at]].2
    }

    /// The workspace of an event, whose part goes on or begins with it. None when it does not come behind its
    /// neighbour: a fence knows one offset, so the call ends before it.
    fn part(&mut self, arrival: &'a Arrival, places: &mut Places<'a>) -> Option<usize> {
        let (position, id) = (arrival.position, &arrival.event.workspace);
        if let Some(part) = self.parts.last_mut()
            && part.partition == position.partition
            && self.workspaces[part.workspace] == id
        {
            if position.offset <= part.last_offset {
                return None;
            }
            part.last_offset = position.offset;
            return Some(part.workspace);
        }
        let workspace = index(&mut places.workspaces, id, &mut self.workspaces, |id| id);
        let (partition, last_offset) = (position.partition, position.offset);
        self.parts.push(Part { workspace, partition, last_offset, end: 0 });
        Some(workspace)
    }

    /// The cell of an event. None when a group of the call has the same books under another period (a
    /// month without a plan may share its name with the first planned one): the call ends before the
    /// event, for two copies of the same books would overwrite each other.
    fn index(
        &mut self,
        workspace: usize,
        event: &'a UsageEvent,
        (period, day): (Period, Day),
        places: &mut Places<'a>,
    ) -> Option<usize> {
        let key = (workspace, period.name);
        let group = index(&mut places.groups, key, &mut self.groups, |_| (workspace, period));
        let there = &self.groups[group].1;
        if (there.planned, there.end) != (period.planned, period.end) {
            return None;
        }
        let user = index(&mut places.users, (group, &event.user), &mut self.users, |key| key);
        let feature = index(&mut places.features, (group, &event.feature), &mut self.features, |key| key);
        Some(index(&mut places.cells, (user, feature, day), &mut self.cells, |key| key))
    }

    /// The arguments of the script: the lists of the request, and a memo for each partition.
    pub fn pack(
        &self,
        known: &HashMap<WorkspaceId, Known>,
        committed: &[(i32, i64)],
        dedupe: Dedupe,
        now_ms: i64,
    ) -> Vec<Vec<u8>> {
        let (lifetime, arrival_lifetime, window_slot) = mark_lives(dedupe);
        let taken = dedupe.taken_seconds();
        let [marks, arrivals, twins] = self.marks(window_slot);
        let lists = [
            self.workspaces(known),
            self.groups(),
            packed(&self.users, |out, (group, user)| out.place(*group).joined("u:", user.as_str())),
            packed(&self.features, |out, (group, feature)| out.place(*group).joined("f:", feature.as_str())),
            packed(&self.cells, |out, (user, feature, day)| {
                out.place(*user).place(*feature).int(i64::from(day.number()))
            }),
            packed(&self.parts, |out, part| {
                out.place(part.workspace).int(i64::from(part.partition)).int(part.end as i64)
            }),
            packed(self.arrivals.iter().zip(&self.placed), |out, (arrival, cell)| {
                out.int(arrival.position.offset).place(*cell).int(arrival.event.credits.micro())
            }),
            marks,
            arrivals,
            twins,
            packed(committed, |out, (partition, next)| out.int(i64::from(*partition)).int(*next)),
            packed([now_ms, lifetime, arrival_lifetime, WINDOW_SLOTS, PASSED_SECONDS, taken], Packer::int),
            self.holds(),
        ];
        lists.into_iter().chain(self.memos()).collect()
    }

    fn workspaces(&self, known: &HashMap<WorkspaceId, Known>) -> Vec<u8> {
        packed(&self.workspaces, |out, id| {
            let (version, epoch, seen) =
                known.get(*id).map_or((0, 0, 0), |k| (k.calendar.version(), k.epoch, k.version));
            out.text(id.as_str()).int(version as i64).int(epoch as i64).int(seen as i64)
        })
    }

    fn groups(&self) -> Vec<u8> {
        packed(&self.groups, |out, (workspace, period)| {
            out.place(*workspace).text(&period.name.to_string());
            out.int(i64::from(period.planned)).int(period.end.millis())
        })
    }

    /// The marks, the slots of arrival, and the events that share a mark with another one.
    fn marks(&self, window_slot: i64) -> [Vec<u8>; 3] {
        let (mut slots, mut twins) = (Vec::new(), BTreeSet::new());
        let mut first_of = HashMap::with_capacity(self.arrivals.len());
        let marks = packed(self.arrivals.iter().enumerate(), |out, (at, arrival)| {
            let event = &arrival.event;
            let marks = Marks::of([event.workspace.as_str(), &event.source, &event.id], event.time.micros());
            // Whoever shares the mark with the time shares the other one too.
            let first = *first_of.entry(marks.untimed).or_insert(at);
            if first < at {
                twins.extend([first, at]);
            }
            let slot = arrival.timestamp.millis().div_euclid(window_slot * 1000);
            match slots.last_mut() {
                Some((end, of)) if *of == slot => *end = at + 1,
                _ => slots.push((at + 1, slot)),
            }
            out.decimal(marks.timed).decimal(marks.untimed).int(fine_slot(event.time.micros()))
        });
        let slots = packed(slots, |out, (end, slot)| out.int(end as i64).int(slot));
        [marks, slots, packed(twins, Packer::place)]
    }

    fn holds(&self) -> Vec<u8> {
        let mut out = Packer::default();
        out.array(7 * self.holds.len());
        for (at, period, day) in &self.holds {
            let event = &self.arrivals[*at].event;
            out.place(*at).text(event.hold.as_ref().map_or("", HoldId::as_str));
            out.int(i64::from(event.source == SETTLES)).text(&period.name.to_string());
            out.int(i64::from(period.planned)).int(period.end.millis()).int(i64::from(day.number()));
        }
        out.into_bytes()
    }

    /// What the tail keeps of each partition's events, besides their answers: where each was put.
    fn memos(&self) -> impl Iterator<Item = Vec<u8>> {
        let sections = self.parts.chunk_by(|a, b| a.partition == b.partition);
        sections.scan(0, |start, parts| Some(self.memo(parts, start)))
    }

    fn memo(&self, parts: &[Part], start: &mut usize) -> Vec<u8> {
        let mut places: Vec<(usize, usize, Day)> = Vec::new();
        let mut offsets = Packer::default();
        offsets.array(2 * (parts.last().map_or(0, |part| part.end) - *start));
        for (number, part) in parts.iter().enumerate() {
            for at in *start..part.end {
                let place = (number, self.group_of(at), self.day_of(at));
                let found = places.iter().rposition(|other| *other == place).unwrap_or_else(|| {
                    places.push(place);
                    places.len() - 1
                });
                offsets.int(self.arrivals[at].position.offset).place(found);
            }
            *start = part.end;
        }
        let mut out = Packer::default();
        out.array(5 * places.len());
        for (number, group, day) in places {
            let period = &self.groups[group].1;
            out.place(number).text(&period.name.to_string()).int(i64::from(period.planned));
            out.int(period.end.millis()).int(i64::from(day.number()));
        }
        out.append(&offsets);
        out.into_bytes()
    }
}

/// A list as the script takes it: its values one behind the other.
fn packed<T>(
    items: impl IntoIterator<Item = T>,
    mut put: impl for<'p> FnMut(&'p mut Packer, T) -> &'p mut Packer,
) -> Vec<u8> {
    let mut out = Packer::default();
    for item in items {
        put(&mut out, item);
    }
    out.into_bytes()
}

#[derive(Default)]
struct Places<'a> {
    workspaces: HashMap<&'a WorkspaceId, usize>,
    groups: HashMap<(usize, Day), usize>,
    users: HashMap<(usize, &'a UserId), usize>,
    features: HashMap<(usize, &'a FeatureId), usize>,
    cells: HashMap<Cell, usize>,
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
