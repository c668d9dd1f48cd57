//! What must be true of the world, whatever happened.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{World, rules, workspace};
use super::{books, broker};
use crate::domain::decision::Outcome;
use crate::domain::event::{Arrival, Position, RawRecord, decode};
use crate::domain::ledger::{Account, Balance, Totals};
use crate::domain::model::Model;

impl World {
    /// At any moment: what may be committed was told and recorded before.
    pub fn verify_floor(&self, committable: &[(i32, i64)]) {
        let (told, rows) = (self.broker.read(), self.tables.read());
        for (partition, next) in committable {
            for offset in 0..*next {
                let at = Position { partition: *partition, offset };
                assert!(told.answered.contains(&at), "{at:?} may be committed, and was not told");
                let recorded = rows.answered.contains(&at) || told.duplicates.contains(&at);
                assert!(recorded, "{at:?} may be committed, and was not recorded");
            }
        }
    }

    /// At the end: every record has one outcome, and all the world agrees on it.
    pub fn verify(&self) {
        self.verify_outcomes();
        self.verify_order();
        self.verify_debits();
        self.verify_tables();
        let ends = self.log.iter().map(|(partition, records)| (*partition, records.len() as i64));
        assert_eq!(*self.committed.lock().unwrap(), ends.collect::<BTreeMap<_, _>>(), "all is committed");
    }

    /// In = out, each record once; a repeat is equal.
    fn verify_outcomes(&self) {
        let told = self.broker.read();
        let mut decided = BTreeMap::new();
        for decision in &told.decisions {
            let before = decided.entry(broker::position(decision)).or_insert(decision);
            assert_eq!(*before, decision, "a record was decided twice");
        }
        let decided: BTreeSet<_> = decided.into_keys().collect();
        let rejected: BTreeSet<_> = told.dead_letters.keys().copied().collect();
        assert!(decided.is_disjoint(&rejected));
        let came: BTreeSet<_> = self.log.values().flatten().map(|record| record.position).collect();
        assert_eq!(&decided | &rejected, came);
    }

    /// In the topic a workspace's decisions first appear in the order they were made, without a gap.
    fn verify_order(&self) {
        let mut latest: BTreeMap<String, u64> = BTreeMap::new();
        for decision in &self.broker.read().decisions {
            let workspace = decision["workspace"].as_str().unwrap();
            let sequence = decision["sequence"].as_u64().unwrap();
            let latest = latest.entry(workspace.to_owned()).or_default();
            assert!(sequence <= *latest + 1, "{workspace}: {sequence} came before {}", *latest + 1);
            *latest = sequence.max(*latest);
        }
    }

    /// The ledger is as if it had seen the log once, from its start to its end.
    fn verify_debits(&self) {
        let (model, wanted) = (self.ledger.model(), self.replayed());
        for number in 0..6 {
            let id = workspace(number);
            let (state, wanted) = (model.workspace(&id).unwrap(), wanted.workspace(&id).unwrap());
            assert_eq!(state.books, wanted.books, "{id} was not debited once for each event");
            assert_eq!(state.sequence, wanted.sequence);
        }
    }

    fn replayed(&self) -> Model {
        let mut model = self.before.clone();
        for record in self.log.values().flatten() {
            let payload = record.payload.as_deref();
            let raw = RawRecord { key: None, payload, headers: &[], timestamp: record.timestamp };
            if let Ok(event) = decode(raw, &rules()) {
                let (position, timestamp) = (record.position, record.timestamp);
                model.decide(&Arrival { event: event.into(), position, timestamp });
            }
        }
        model
    }

    /// The tables say what the ledger says, and the rows of events sum up to it.
    fn verify_tables(&self) {
        let (model, told, rows) = (self.ledger.model(), self.broker.read(), self.tables.read());
        let mut sums: BTreeMap<_, Totals> = BTreeMap::new();
        for decision in rows.events.values() {
            let event = &decision.event;
            let key = (event.workspace.clone(), decision.period, decision.day);
            let sum = sums.entry((key, event.user.clone(), event.feature.clone())).or_default();
            sum.credits += decision.verdict.drawn.from_accounts();
            sum.events += u64::from(decision.verdict.outcome != Outcome::Denied);
        }
        for ((workspace, period, day, user, feature), rollup) in &rows.rollups {
            let cell = (*day, user.clone(), feature.clone());
            assert_eq!(rollup.totals, model.workspace(workspace).unwrap().books[period].cells[&cell]);
            let sum = sums[&((workspace.clone(), *period, *day), user.clone(), feature.clone())];
            assert_eq!((sum.credits, sum.events), (rollup.totals.credits, rollup.totals.events));
        }
        assert_eq!(rows.rollups.len(), sums.len());
        for ((workspace, period, account), balance) in &rows.balances {
            let user = if let Account::User(user) = account { Some(user.clone()) } else { None };
            let wanted = books::balance(&model, workspace, *period, user);
            assert_eq!(*balance, Balance { version: balance.version, ..wanted });
        }
        let letters: BTreeSet<_> = told.dead_letters.keys().collect();
        assert_eq!(rows.dead_letters.keys().collect::<BTreeSet<_>>(), letters);
        let kept = told.answered.len() - told.duplicates.len() - letters.len();
        assert_eq!(rows.events.len(), kept);
    }
}
