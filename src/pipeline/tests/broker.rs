//! The topics that the pipeline writes, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use serde_json::Value;

use super::trouble::{TestFault, Troubles};
use crate::domain::event::Position;
use crate::kafka::{Message, Publish};

#[derive(Default)]
pub struct Broker {
    pub troubles: Troubles,
    state: Mutex<Content>,
}

#[derive(Default)]
pub struct Content {
    /// Decisions in the order they came, without the time of deciding.
    pub decisions: Vec<Value>,
    /// Dead letters by their origin, with how often they came.
    pub dead_letters: BTreeMap<Position, usize>,
    /// What the caller was told is written.
    pub answered: BTreeSet<Position>,
    /// Those of them that leave no row.
    pub duplicates: BTreeSet<Position>,
}

impl Broker {
    pub fn read(&self) -> MutexGuard<'_, Content> {
        self.state.lock().unwrap()
    }
}

impl Publish for Broker {
    type Error = TestFault;

    async fn publish(&self, topic: &str, messages: &[Message]) -> Result<(), TestFault> {
        assert!(!messages.is_empty());
        self.troubles.meet(|| messages.iter().for_each(|message| self.read().append(topic, message))).await?;
        self.read().answered.extend(messages.iter().map(|message| origin(topic, message)));
        Ok(())
    }
}

impl Content {
    fn append(&mut self, topic: &str, message: &Message) {
        let origin = origin(topic, message);
        if topic == "dead-letters" {
            *self.dead_letters.entry(origin).or_default() += 1;
            return;
        }
        let mut decision = payload(message);
        assert_eq!(message.key.as_deref().unwrap(), decision["workspace"].as_str().unwrap().as_bytes());
        assert!(decision.as_object_mut().unwrap().remove("decided_at").is_some());
        if decision["outcome"] == "duplicate" {
            self.duplicates.insert(origin);
        }
        self.decisions.push(decision);
    }
}

fn payload(message: &Message) -> Value {
    serde_json::from_slice(message.payload.as_deref().unwrap()).unwrap()
}

/// Where the record lies that a message tells of.
fn origin(topic: &str, message: &Message) -> Position {
    if topic == "decisions" {
        return position(&payload(message));
    }
    let header = |name: &str| {
        let last = message.headers.iter().rfind(|header| header.name == name).unwrap();
        String::from_utf8(last.value.clone().unwrap()).unwrap().parse().unwrap()
    };
    Position { partition: header("partition") as i32, offset: header("offset") }
}

pub fn position(decision: &Value) -> Position {
    let number = |name: &str| decision[name].as_i64().unwrap();
    Position { partition: number("partition") as i32, offset: number("offset") }
}
