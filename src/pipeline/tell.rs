//! Third stage: what was decided is told to Kafka, in the order it was decided. One call is under way
//! at a time, and takes all that gathered during the one before: with two, the later could overtake.

use tokio::sync::mpsc;

use super::decide::Decided;
use super::retry::patiently;
use super::{Pipeline, Stopped, messages};
use crate::crash;
use crate::domain::ports::{Ledger, Warehouse};
use crate::kafka::{Message, Publish, dead_letter};

impl<L: Ledger, W: Warehouse, P: Publish> Pipeline<L, W, P> {
    pub(super) async fn tell_all(
        &self,
        mut decided: mpsc::Receiver<Decided>,
        told: mpsc::Sender<Decided>,
    ) -> Result<(), Stopped> {
        let mut batches = Vec::new();
        while decided.recv_many(&mut batches, self.settings.record_batches_waiting_max.get()).await > 0 {
            self.tell(&batches).await?;
            crash::point("after_told");
            for batch in batches.drain(..) {
                if told.send(batch).await.is_err() {
                    return Ok(()); // record has stopped and says why
                }
            }
        }
        Ok(())
    }

    /// Returns when Kafka has acknowledged all of it; a failed call is repeated as a whole.
    async fn tell(&self, batches: &[Decided]) -> Result<(), Stopped> {
        let bytes_max = self.topics.dead_letter_bytes_max;
        let decisions = batches.iter().flat_map(|batch| &batch.effects.decisions).map(messages::decision);
        let letters = batches.iter().flat_map(|batch| &batch.dead_letters);
        let letters = letters.map(|letter| dead_letter::message(letter, bytes_max));
        tokio::try_join!(
            self.publish(&self.topics.decisions, decisions.collect()),
            self.publish(&self.topics.dead_letters, letters.collect()),
        )?;
        Ok(())
    }

    async fn publish(&self, topic: &str, messages: Vec<Message>) -> Result<(), Stopped> {
        if messages.is_empty() {
            return Ok(());
        }
        let pause = self.settings.retry_pause_ms_max;
        patiently("publish", pause, &self.abort, || self.publisher.publish(topic, &messages)).await
    }
}
