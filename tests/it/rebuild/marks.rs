//! What was decided and then lost before it was recorded is decided anew: the mark of it, which outlives it, belongs
//! to an epoch that is over.

use std::sync::Arc;

use tollgate::app::rebuild::Rebuilder;
use tollgate::domain::WorkspaceId;
use tollgate::domain::change::{Author, Change, Plan};
use tollgate::domain::decision::Outcome;
use tollgate::domain::event::{Arrival, Position};
use tollgate::domain::ports::Ledger as _;
use tollgate::domain::record::Rows;
use tollgate::domain::{Credits, ledger::Effects};
use tollgate::pipeline::decide::now;

use super::service::lose;
use crate::ledger::event;
use crate::support::Installation;

fn arrival(workspace: &WorkspaceId, offset: i64) -> Arrival {
    let event = event(&format!("e{offset}"), workspace.clone(), now());
    Arrival { event: event.into(), position: Position { partition: 0, offset }, timestamp: now() }
}

#[tokio::test]
async fn a_mark_that_outlives_its_debit_makes_no_duplicate_of_nothing() {
    let it = Installation::new("rebuild-marks", "").await;
    let rebuilder = Rebuilder::new(&it.stores, &it.settings, Arc::new(it.stores.relay(&it.settings)));
    let (ledger, acme) = (&it.stores.ledger, WorkspaceId::parse("acme").unwrap());
    let plan = Change::Plan(Plan::monthly(Credits::whole(100)));
    ledger.change(&acme, &plan, &Author::default(), now()).await.unwrap().unwrap();
    let (lost, recorded) = (arrival(&acme, 0), arrival(&acme, 1));
    let first = ledger.decide(&[lost.clone(), recorded.clone()], &[], now()).await.unwrap();
    let Effects { mut decisions, rollups, balances, pools, .. } = first;
    let second = decisions.split_off(1);
    let rows = Rows { events: second, rollups, balances, pools, dead_letters: Vec::new() };
    it.stores.tables.record(&rows).await.unwrap();

    lose(&it, "acme");
    rebuilder.rebuild(&[acme.clone()].into(), &|_, _, _| (), &|_| ()).await.unwrap();
    let again = ledger.decide(&[lost, recorded], &[], now()).await.unwrap().decisions;
    assert_eq!(again.len(), 1, "the other has its row: {again:?}");
    let verdict = &again[0].verdict;
    assert_eq!((again[0].position.offset, verdict.outcome, verdict.epoch), (0, Outcome::Allowed, 2));
    // The same event at another place of the topic: now it is one.
    let resent = Arrival { position: Position { partition: 0, offset: 2 }, ..arrival(&acme, 0) };
    let resent = ledger.decide(&[resent], &[], now()).await.unwrap().decisions;
    assert_eq!(resent[0].verdict.outcome, Outcome::Duplicate);
    it.remove().await;
}
