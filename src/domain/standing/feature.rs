//! Features: what all users together spent on each, against its limit.

use serde::Serialize;
use utoipa::ToSchema;

use super::union;
use crate::domain::ports::View;
use crate::domain::{Credits, FeatureId};

/// A feature in one period, over all users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FeatureLine {
    /// Which feature.
    pub feature: FeatureId,
    /// The ceiling over all users; none for none.
    pub limit: Option<Credits>,
    /// Spent on it.
    pub used: Credits,
    /// Set aside for it.
    pub held: Credits,
    /// What the limit leaves; none without one.
    pub remaining: Option<Credits>,
}

/// Every feature that was used or has a limit, in order of id.
pub fn features(view: &View) -> Vec<FeatureLine> {
    let used = view.state.books.values().flat_map(|book| book.features.keys());
    union(view.state.features.keys().chain(used)).into_iter().map(|id| feature(view, id)).collect()
}

/// One feature; zeros when it was never used.
pub fn feature(view: &View, id: &FeatureId) -> FeatureLine {
    let sums = view.book().features.get(id).copied().unwrap_or_default();
    let limit = view.state.features.get(id).copied();
    let remaining = limit.map(|limit| (limit - sums.spent - sums.holding).at_least_zero());
    FeatureLine { feature: id.clone(), limit, used: sums.spent, held: sums.holding, remaining }
}
