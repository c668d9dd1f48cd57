//! Everything that speaks Kafka: the consumer thread, the low-water mark, producers, topics.
