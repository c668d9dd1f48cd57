//! `GET /v1/rates`: the rate card in force.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::route::{Access, Routes, Scope, get};
use super::value::{Amount, FeatureName};
use crate::domain::rates::Rate;

/// The routes of the rate card.
pub fn routes() -> Routes {
    let spec = get("/v1/rates", Access::Needs(Scope::Read)).says("The rate card in force");
    Routes::of("rates")
        .add(spec.gives::<RateCardView>(200, "The card; the first rate that matches prices"), rates)
}

/// The rate card
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RateCard)]
struct RateCardView {
    /// Recorded with every event that the card prices
    version: String,
    /// In the order in which they are asked
    rates: Vec<RateView>,
}

/// One line of the card
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rate)]
struct RateView {
    /// What it prices
    feature: FeatureName,
    /// Which models, as a glob; null for every one
    model: Option<String>,
    /// Credits for each event
    per_event: Option<Amount>,
    /// Credits for each unit of the quantity
    per_quantity: Option<Amount>,
    /// Credits for each 1,000 tokens read
    per_1k_input_tokens: Option<Amount>,
    /// Credits for each 1,000 tokens written
    per_1k_output_tokens: Option<Amount>,
}

impl From<&Rate> for RateView {
    fn from(rate: &Rate) -> Self {
        Self {
            feature: rate.feature.clone().into(),
            model: rate.model.as_ref().map(ToString::to_string),
            per_event: rate.per_event.map(Amount),
            per_quantity: rate.per_quantity.map(Amount),
            per_1k_input_tokens: rate.per_1k_input_tokens.map(Amount),
            per_1k_output_tokens: rate.per_1k_output_tokens.map(Amount),
        }
    }
}

async fn rates(State(api): State<Arc<Api>>) -> Json<RateCardView> {
    let card = &api.rules.rates;
    let rates = card.rates().iter().map(RateView::from).collect();
    Json(RateCardView { version: card.version().to_owned(), rates })
}
