//! How the rows of reports look in the API's document. The rows themselves are the domain's; a test
//! holds their fields against these.
#![expect(dead_code, reason = "only the schemas of these are used")]

use utoipa::ToSchema;

/// Usage of one combination of values; the dimensions that were not asked for are absent.
#[derive(ToSchema)]
pub struct Usage {
    /// Who
    #[schema(nullable = false)]
    user: Option<String>,
    /// What on
    #[schema(nullable = false)]
    feature: Option<String>,
    /// The user's team when it was decided; null for none
    team: Option<String>,
    /// The model; null when it was not named
    model: Option<String>,
    /// The day in the workspace's time zone
    #[schema(format = Date, nullable = false)]
    day: Option<String>,
    /// The period, by its start date
    #[schema(format = Date, nullable = false)]
    month: Option<String>,
    /// Credits debited from accounts, without what was given back
    credits: f64,
    /// Credits spent beyond accounts, without what was given back
    overage_credits: f64,
    /// Events that were allowed or overage
    events: u64,
    /// Events that were denied
    denied_events: u64,
    /// Credits that the denied asked for
    denied_credits: f64,
    /// Events that were overage
    overage_events: u64,
}

/// One decided event.
#[derive(ToSchema)]
pub struct Event {
    /// The producer's id
    event_id: String,
    /// The producer
    source: String,
    /// When it happened
    #[schema(format = DateTime)]
    time: String,
    /// Who
    user: String,
    /// What on
    feature: String,
    /// Credits that it asked for
    credits: f64,
    /// The model, when it was named
    #[schema(required)]
    model: Option<String>,
    /// Tokens in, when they were counted
    #[schema(required)]
    input_tokens: Option<u64>,
    /// Tokens out, when they were counted
    #[schema(required)]
    output_tokens: Option<u64>,
    /// Units, when they were counted
    #[schema(required)]
    quantity: Option<u64>,
    /// The hold that it named
    #[schema(required)]
    hold: Option<String>,
    /// That hold was unknown, ended or another user's
    hold_ignored: bool,
    /// The user's team when it was decided
    #[schema(required)]
    team: Option<String>,
    /// The start date of the period that it counts in
    #[schema(format = Date)]
    period: String,
    /// The day that it counts on
    #[schema(format = Date)]
    day: String,
    /// `allowed`, `overage` or `denied`
    outcome: String,
    /// The first rule that failed
    #[schema(required)]
    reason: Option<String>,
    /// The level of that rule, with its numbers before the event
    #[schema(required)]
    blocked_by: Option<EventBlockedBy>,
    /// Where its credits came from
    drawn: EventDrawn,
    /// When its credits were given back
    #[schema(format = DateTime, required)]
    reversed_at: Option<String>,
    /// The rate card that priced it
    #[schema(required)]
    rate_version: Option<String>,
    /// When it was decided
    #[schema(format = DateTime)]
    decided_at: String,
    /// Where it lies in the input topic
    partition: i32,
    /// Its offset there
    offset: i64,
    /// Epoch of its decision
    epoch: u64,
    /// Sequence of its decision
    sequence: u64,
}

/// The level that an event failed at.
#[derive(ToSchema)]
pub struct EventBlockedBy {
    /// `workspace`, `feature`, `user` or `pool`
    level: String,
    /// Of whom: the user, the feature or the workspace
    id: String,
    /// The ceiling; null for accounts
    #[schema(required)]
    limit: Option<f64>,
    /// Spent (limits) or used (accounts)
    used: f64,
    /// Set aside by holds
    held: f64,
    /// What would still have fitted
    remaining: f64,
}

/// Where an event's credits came from.
#[derive(ToSchema)]
pub struct EventDrawn {
    /// From the user's account
    user: f64,
    /// From the team's account
    team: f64,
    /// From the pool
    pool: f64,
    /// Beyond accounts
    overage: f64,
}

/// One entry of the ledger.
#[derive(ToSchema)]
pub struct LedgerEntry {
    /// Raised by each rebuild
    epoch: u64,
    /// Gapless in an epoch, from 1
    sequence: u64,
    /// `top_up`, `grant`, `transfer`, `opening` and others
    kind: String,
    /// Who did it
    actor: String,
    /// Why, in their words
    #[schema(required)]
    reason: Option<String>,
    /// The key under which a retry is recognised
    #[schema(required)]
    idempotency_key: Option<String>,
    /// The start date of its period
    #[schema(format = Date)]
    period: String,
    /// When it was made
    #[schema(format = DateTime)]
    at: String,
    /// What was moved; together they sum to what entered or left
    postings: Vec<LedgerPosting>,
    /// The change itself; its fields depend on the kind
    #[schema(value_type = Object)]
    change: (),
}

/// Credits that entered or left an account.
#[derive(ToSchema)]
pub struct LedgerPosting {
    /// `pool`, `team:<id>` or `user:<id>`
    account: String,
    /// The start date of its period
    #[schema(format = Date)]
    period: String,
    /// Below 0 when they left
    credits: f64,
}
