//! The month of `docs/model.md`, played by the model: every row of its tables is what the model says.

use tollgate::domain::book::Book;
use tollgate::domain::change::{CarryOver, Change, Plan, Reversed, Seats, UserChange};
use tollgate::domain::decision::{Outcome, Reason, Verdict};
use tollgate::domain::event::{Arrival, Position, UsageEvent};
use tollgate::domain::hold::{HoldRequest, Wish};
use tollgate::domain::ledger::Account;
use tollgate::domain::model::{Model, SETTLES};
use tollgate::domain::period::{Instant, PeriodName};
use tollgate::domain::{Credits, FeatureId, HoldId, TeamId, UserId, WorkspaceId};

use super::blocks::document;

const NOVEMBER: &str = "2026-11-01";
const DECEMBER: &str = "2026-12-01";

fn at(text: &str) -> Instant {
    Instant::from_timestamp(text.parse().unwrap())
}

fn acme() -> WorkspaceId {
    "acme".parse().unwrap()
}

fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

fn ann() -> Account {
    Account::User(user("ann"))
}

fn team() -> TeamId {
    "design".parse().unwrap()
}

fn plan(timezone: &str, anchor_day: i8) -> Change {
    let seats = Seats { seats: 4, credits_per_seat: Credits::whole(500) };
    Change::Plan(Plan {
        seats: Some(seats),
        timezone: timezone.into(),
        anchor_day,
        default_user_limit: Some(Credits::whole(300)),
        carry_over: CarryOver::TopUps,
        ..Plan::monthly(Credits::whole(2000))
    })
}

/// The model, and the rows that the document must have.
struct Story {
    model: Model,
    document: String,
    offset: i64,
}

impl Story {
    fn change(&mut self, now: &str, change: &Change) {
        self.model.sweep(at(now));
        self.model.change(&acme(), change, at(now)).unwrap();
    }

    fn user(&mut self, now: &str, change: impl FnOnce(&mut UserChange)) {
        let mut ann = UserChange::of(user("ann"));
        change(&mut ann);
        self.change(now, &Change::User(ann));
    }

    fn spend(&mut self, now: &str, time: &str, name: &str, credits: i64) -> Verdict {
        self.event(now, time, name, credits, None)
    }

    fn event(&mut self, now: &str, time: &str, name: &str, credits: i64, hold: Option<&str>) -> Verdict {
        self.offset += 1;
        let event = UsageEvent {
            user: user(name),
            feature: "ai_chat".parse().unwrap(),
            credits: Credits::whole(credits),
            source: if hold.is_some() { SETTLES.into() } else { "".into() },
            hold: hold.map(|id| id.parse().unwrap()),
            ..crate::ledger::event(&format!("e-{}", self.offset), acme(), at(time))
        };
        let position = Position { partition: 0, offset: self.offset };
        self.model.decide(&Arrival { event: event.into(), position, timestamp: at(now) })
    }

    fn book(&self, period: &str) -> &Book {
        let period: PeriodName = period.parse().unwrap();
        &self.model.workspace(&acme()).unwrap().books[&period]
    }

    /// The document has this step with these numbers, and they add up.
    fn row(&self, step: usize, period: &str) {
        let book = self.book(period);
        let team = book.teams.get(&team()).map_or(Credits::ZERO, |team| team.account.remaining());
        let own = book.users.get(&user("ann")).map_or(Credits::ZERO, |ann| ann.account.remaining());
        let entered = book.pool.remaining() + team + own + book.used + book.held;
        assert_eq!((entered, book.conserved()), (book.total, book.total), "step {step}: conserved");
        let numbers = [book.pool.remaining(), team, own, book.used, book.held, book.total];
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        let (start, end) = (format!("| {step} | "), format!(" | {} |", numbers.join(" | ")));
        let line = self.document.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("docs/model.md has no step {step}"));
        assert!(line.ends_with(&end), "docs/model.md, step {step} should end in {end}: {line}");
    }

    fn says(&self, words: &str) {
        assert!(self.document.contains(words), "docs/model.md does not say {words:?}");
    }
}

#[test]
fn the_month_of_the_model_document_adds_up() {
    let mut story = Story { model: Model::new(3600), document: document("model.md"), offset: 0 };
    the_beginning(&mut story);
    a_denial_and_a_grant(&mut story);
    a_hold_and_a_reversal(&mut story);
    the_month_ends(&mut story);
    a_move_of_the_month(&mut story);
}

fn the_beginning(story: &mut Story) {
    story.change("2026-11-01T08:00:00Z", &plan("Europe/Berlin", 1));
    story.row(1, NOVEMBER);
    story.user("2026-11-01T09:00:00Z", |ann| ann.limit = Some(Some(limit(1000))));
    story.row(2, NOVEMBER);
    let reserve = Change::Team {
        team: team(),
        monthly_reserve: Credits::whole(400),
        apply_now: true,
        default_user_limit: None,
    };
    story.change("2026-11-02T09:00:00Z", &reserve);
    story.user("2026-11-02T09:01:00Z", |ann| ann.team = Some(Some(team())));
    story.row(3, NOVEMBER);
    let (from, to, credits) = (Account::Pool, ann(), Credits::whole(100));
    story.change("2026-11-02T10:00:00Z", &Change::Transfer { from, to, credits, raise_limit: false });
    story.row(4, NOVEMBER);
    let first = story.spend("2026-11-03T10:00:00Z", "2026-11-03T10:00:00Z", "ann", 250);
    assert_eq!((first.drawn.user, first.drawn.team), (Credits::whole(100), Credits::whole(150)));
    story.row(5, NOVEMBER);
    let second = story.spend("2026-11-10T10:00:00Z", "2026-11-10T10:00:00Z", "ann", 700);
    assert_eq!((second.drawn.team, second.drawn.pool), (Credits::whole(250), Credits::whole(450)));
    story.row(6, NOVEMBER);
}

fn limit(credits: i64) -> tollgate::domain::change::LimitSetting {
    tollgate::domain::change::LimitSetting::Credits(Credits::whole(credits))
}

fn a_denial_and_a_grant(story: &mut Story) {
    let denied = story.spend("2026-11-12T10:00:00Z", "2026-11-12T10:00:00Z", "ann", 80);
    assert_eq!((denied.outcome, denied.reason), (Outcome::Denied, Some(Reason::UserLimit)));
    let blocked = denied.blocked.unwrap();
    let (limit, used, remaining) = (blocked.limit.unwrap(), blocked.used, blocked.remaining);
    story.says(&format!(r#""limit": {limit}, "used": {used}, "held": 0, "remaining": {remaining}}}"#));
    story.row(7, NOVEMBER);
    let grant = Change::Grant { user: user("ann"), credits: Credits::whole(300) };
    story.change("2026-11-12T10:05:00Z", &grant);
    story.row(8, NOVEMBER);
    let again = story.spend("2026-11-12T10:06:00Z", "2026-11-12T10:06:00Z", "ann", 80);
    assert_eq!((again.outcome, again.drawn.user), (Outcome::Allowed, Credits::whole(80)));
    story.row(9, NOVEMBER);
}

fn a_hold_and_a_reversal(story: &mut Story) {
    let (agent, hold): (FeatureId, HoldId) = ("ai_agent".parse().unwrap(), "h-1".parse().unwrap());
    let wish = Wish { user: user("ann"), feature: agent, credits: Credits::whole(120) };
    let now = at("2026-11-15T10:00:00Z");
    let make = HoldRequest::Make { hold: hold.clone(), wish, ttl_seconds: 300 };
    story.model.hold(&acme(), &make, now).unwrap();
    story.row(10, NOVEMBER);
    story
        .model
        .hold(&acme(), &HoldRequest::Settle { hold, credits: Credits::whole(150), owner: None }, now)
        .unwrap();
    let settled = story.event("2026-11-15T10:01:00Z", "2026-11-15T10:01:00Z", "ann", 150, Some("h-1"));
    assert_eq!((settled.outcome, settled.drawn.user), (Outcome::Allowed, Credits::whole(150)));
    story.row(11, NOVEMBER);

    let reversed = Reversed {
        event_id: "e-1".into(),
        source: String::new(),
        time: at("2026-11-03T10:00:00Z"),
        period: NOVEMBER.parse().unwrap(),
        day: "2026-11-03".parse().unwrap(),
        user: user("ann"),
        team: Some(team()),
        feature: "ai_chat".parse().unwrap(),
        drawn: tollgate::domain::decision::Drawn {
            user: Credits::whole(100),
            team: Credits::whole(150),
            ..Default::default()
        },
    };
    story.change("2026-11-20T10:00:00Z", &Change::Reversal(reversed));
    story.row(12, NOVEMBER);
    story.change("2026-11-25T10:00:00Z", &Change::TopUp { credits: Credits::whole(500) });
    story.row(13, NOVEMBER);
    story.spend("2026-11-25T11:00:00Z", "2026-11-25T11:00:00Z", "bob", 300);
    story.row(14, NOVEMBER);
    story.user("2026-11-26T10:00:00Z", |ann| ann.monthly_allocation = Some(Credits::whole(100)));
    story.row(15, NOVEMBER);
    let state = story.model.workspace(&acme()).unwrap();
    let one = state.books[&NOVEMBER.parse().unwrap()].users[&user("ann")];
    assert_eq!(state.effective_limit(&user("ann"), one.granted), Some(Credits::whole(1300)));
    assert_eq!(one.spent, Credits::whole(930));
}

fn the_month_ends(story: &mut Story) {
    let first = story.spend("2026-12-01T08:00:00Z", "2026-12-01T08:00:00Z", "ann", 10);
    assert_eq!(first.drawn.user, Credits::whole(10));
    story.row(16, DECEMBER);
    story.row(17, NOVEMBER);
    let late = story.spend("2026-12-01T10:00:00Z", "2026-11-30T20:00:00Z", "ann", 20);
    assert_eq!((late.outcome, late.drawn.user), (Outcome::Allowed, Credits::whole(20)));
    story.row(18, NOVEMBER);
    story.row(19, DECEMBER);
    let granted = story.book(DECEMBER).users[&user("ann")].granted;
    assert_eq!(granted, Credits::ZERO, "grants start anew");
}

fn a_move_of_the_month(story: &mut Story) {
    story.change("2026-12-10T10:00:00Z", &plan("America/New_York", 15));
    let calendar = &story.model.workspace(&acme()).unwrap().calendar;
    let running = calendar.period_of(at("2026-12-10T10:00:00Z"));
    assert_eq!(running.name.to_string(), DECEMBER);
    story.says(&format!("`effective_from: \"{}\"`", running.end));
    let next = calendar.period_of(running.end);
    story.says(&format!("── {} ", next.name));
    let before = calendar.day_of(at("2026-12-20T23:30:00Z")).day;
    assert_eq!(before.to_string(), "2026-12-21", "days of the running period stay days of Berlin");
}
