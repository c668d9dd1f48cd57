//! Whether a wish would pass, asked of a view: for periods that no event or write has opened yet.

use crate::domain::WorkspaceId;
use crate::domain::hold::{CheckAnswer, Wish};
use crate::domain::model;
use crate::domain::ports::View;

/// Whether the wish would pass in the period of the view. Changes nothing.
pub fn check(view: &View, workspace: &WorkspaceId, wish: &Wish) -> CheckAnswer {
    let (allowed, failing) = model::judge(&view.state, &view.period, wish);
    let denial = failing.map(|failing| model::denial(workspace, wish, failing, &view.period));
    CheckAnswer { allowed, denial, period: view.period, at: view.as_of }
}
