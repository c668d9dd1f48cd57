// Publishes events as CloudEvents with the SDK of JavaScript and KafkaJS.
//
// usage: NODE_PATH=NODE_MODULES node publish.cjs BROKERS TOPIC <EVENTS
// EVENTS are JSON objects, one a line: {"way", "key", "attributes", "data"}

const { readFileSync } = require("node:fs");
const { CloudEvent, Kafka: binding } = require("cloudevents");
const { Kafka, logLevel } = require("kafkajs");

const WAYS = {
  // The SDK leaves data as an object and absent attributes as undefined; KafkaJS sends strings and bytes only.
  "javascript-binary": (event) => {
    const message = binding.binary(event);
    const headers = Object.entries(message.headers).filter(([, value]) => value !== undefined);
    return { ...message, value: JSON.stringify(message.value), headers: Object.fromEntries(headers) };
  },
  "javascript-structured": (event) => binding.structured(event),
};

async function main(brokers, topic) {
  const lines = readFileSync(0, "utf8").split("\n").filter(Boolean);
  const messages = lines.map((line) => {
    const { way, key, attributes, data } = JSON.parse(line);
    return WAYS[way](new CloudEvent({ ...attributes, partitionkey: key, data }));
  });
  const kafka = new Kafka({ brokers: brokers.split(","), clientId: "publish", logLevel: logLevel.ERROR });
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  try {
    await producer.connect();
    await producer.send({ topic, messages });
  } finally {
    await producer.disconnect(); // or the open connection keeps the process alive
  }
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
