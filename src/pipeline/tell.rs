//! Third stage: what was decided is told to Kafka, in the order it was decided. One call is under way
//! at a time, and takes all that gathered during the one before: with two, the later could overtake.

use tokio::sync::mpsc;

use super::decide::Decided;
use super::retry::patiently;
use super::{Pipeline, Stopped, messages};
use crate::crash;
use crate::domain::decision::Decision;
use crate::domain::ports::{Ledger, Warehouse};
use crate::kafka::{Message, Publish, dead_letter};

/// Batches of one call, at most.
const CALL_BATCHES: usize = 1024;
/// What one request to Kafka takes of a partition, and what a record takes in it besides key and payload.
const REQUEST_BYTES: usize = 900_000;
const RECORD_BYTES: usize = 64;

impl<L: Ledger, W: Warehouse, P: Publish> Pipeline<L, W, P> {
    pub(super) async fn tell_all(
        &self,
        mut decided: mpsc::UnboundedReceiver<Decided>,
        told: mpsc::UnboundedSender<Decided>,
    ) -> Result<(), Stopped> {
        let mut batches = Vec::new();
        while decided.recv_many(&mut batches, CALL_BATCHES).await > 0 {
            self.tell(&batches).await?;
            crash::point("after_told");
            for batch in batches.drain(..) {
                if told.send(batch).is_err() {
                    return Ok(()); // record has stopped and says why
                }
            }
        }
        Ok(())
    }

    /// Returns when Kafka has acknowledged all of it; a failed round is repeated as a whole.
    async fn tell(&self, batches: &[Decided]) -> Result<(), Stopped> {
        let bytes_max = self.topics.dead_letter_bytes_max;
        let letters = batches.iter().flat_map(|batch| &batch.dead_letters);
        let letters = letters.map(|letter| dead_letter::message(letter, bytes_max));
        let decisions = async {
            for round in rounds(messages_of(batches)) {
                self.publish(&self.topics.decisions, round).await?;
            }
            Ok(())
        };
        tokio::try_join!(decisions, self.publish(&self.topics.dead_letters, letters.collect()))?;
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

/// The decisions as messages, those of one partition together and in their order.
fn messages_of(batches: &[Decided]) -> impl Iterator<Item = (i32, Message)> {
    let mut decisions: Vec<&Decision> = batches.iter().flat_map(|batch| &batch.effects.decisions).collect();
    decisions.sort_by_key(|decision| decision.position.partition);
    decisions.into_iter().map(|decision| (decision.position.partition, messages::decision(decision)))
}

/// Rounds of messages, of each partition what one request takes. While a request is under way, whatever else waits for
/// its partition keeps an idempotent producer of librdkafka 2.12 spinning.
fn rounds(messages: impl Iterator<Item = (i32, Message)>) -> Vec<Vec<Message>> {
    let mut rounds: Vec<Vec<Message>> = Vec::new();
    let (mut current, mut round, mut bytes) = (None, 0, 0);
    for (partition, message) in messages {
        if current != Some(partition) {
            (current, round, bytes) = (Some(partition), 0, 0);
        }
        let length = |text: &Option<Vec<u8>>| text.as_ref().map_or(0, Vec::len);
        let own = length(&message.key) + length(&message.payload) + RECORD_BYTES;
        if bytes > 0 && bytes + own > REQUEST_BYTES {
            (round, bytes) = (round + 1, 0);
        }
        bytes += own;
        if rounds.len() <= round {
            rounds.resize_with(round + 1, Vec::new);
        }
        rounds[round].push(message);
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of so many kilobytes that is known by its key.
    fn message(number: u8, kilobytes: usize) -> Message {
        Message { key: Some(vec![number]), payload: Some(vec![0; kilobytes * 1000]), headers: Vec::new() }
    }

    fn keys(messages: Vec<(i32, Message)>) -> Vec<Vec<u8>> {
        let number = |message: &Message| message.key.as_ref().unwrap()[0];
        rounds(messages.into_iter()).iter().map(|round| round.iter().map(number).collect()).collect()
    }

    #[test]
    fn a_round_has_of_each_partition_what_one_request_takes() {
        let small = (0..3).map(|n| (1, message(n, 1))).collect();
        assert_eq!(keys(small), [[0, 1, 2]]);
        let large = [(1, 400), (1, 400), (1, 400), (2, 800), (2, 950), (2, 1), (3, 1)];
        let large =
            large.iter().zip(0..).map(|((partition, size), n)| (*partition, message(n, *size))).collect();
        assert_eq!(keys(large), [vec![0, 1, 3, 6], vec![2, 4], vec![5]]);
        assert!(keys(Vec::new()).is_empty());
    }
}
