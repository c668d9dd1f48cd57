//! What events look like, for the document only: the decoder reads them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::value::{Amount, FeatureName, HoldName, Moment, UserName, WorkspaceName};

/// One event, bare or as a CloudEvent, or a list of up to 1,000
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum EventOrEvents {
    /// One bare event
    Event(UsageEvent),
    /// Several
    Events(Vec<UsageEvent>),
    /// One CloudEvent
    CloudEvent(CloudEvent),
    /// Several
    CloudEvents(Vec<CloudEvent>),
}

/// A list of CloudEvents
#[derive(Serialize, ToSchema)]
pub(super) struct CloudEventBatch(Vec<CloudEvent>);

/// One use of an AI feature; further fields are ignored
#[derive(Serialize, ToSchema)]
pub(super) struct UsageEvent {
    /// Unique in workspace and source
    #[schema(min_length = 1, max_length = 256)]
    id: String,
    /// The producer; not beginning with `tollgate:`
    #[schema(min_length = 1, max_length = 256)]
    source: Option<String>,
    /// When it happened; now when it is missing
    time: Option<Moment>,
    /// The tenant
    workspace: WorkspaceName,
    #[serde(flatten)]
    spent: Spent,
}

/// A CloudEvent of type `ai.usage`
#[derive(Serialize, ToSchema)]
pub(super) struct CloudEvent {
    /// `1.0`
    #[schema(pattern = "^1\\.0$")]
    specversion: String,
    /// `ai.usage`
    #[schema(pattern = "^ai\\.usage$")]
    r#type: String,
    /// Unique in workspace and source
    #[schema(min_length = 1, max_length = 256)]
    id: String,
    /// The producer; not beginning with `tollgate:`
    #[schema(min_length = 1, max_length = 256)]
    source: String,
    /// When it happened; now when it is missing
    time: Option<Moment>,
    /// The user, when the data names none
    subject: Option<String>,
    /// The event
    data: CloudData,
}

/// The data of a CloudEvent
#[derive(Serialize, ToSchema)]
struct CloudData {
    /// The tenant
    workspace: WorkspaceName,
    #[serde(flatten)]
    spent: Spent,
}

#[derive(Serialize, ToSchema)]
struct Spent {
    /// Who spends
    user: UserName,
    /// What on
    feature: FeatureName,
    /// How much; missing or null: priced by the rate card
    credits: Option<Amount>,
    /// The model that answered
    model: Option<String>,
    /// Tokens read
    #[schema(minimum = 0)]
    input_tokens: Option<u64>,
    /// Tokens written
    #[schema(minimum = 0)]
    output_tokens: Option<u64>,
    /// Units of whatever the feature counts
    #[schema(minimum = 0)]
    quantity: Option<u64>,
    /// The hold that this event settles
    hold: Option<HoldName>,
}
