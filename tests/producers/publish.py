"""Publishes events as CloudEvents with the SDK of Python, each by the functions that its `way` names.

usage: publish.py BROKERS TOPIC <EVENTS
EVENTS are JSON objects, one a line: {"way", "key", "attributes", "data"}
"""

import json
import sys
from datetime import datetime

from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1 import kafka as kafka_v1
from cloudevents.v1.http import CloudEvent as CloudEventV1
from confluent_kafka import Producer


def event(attributes, data):
    """The event of the SDK's own interface, whose times are Python's."""
    time = datetime.fromisoformat(attributes["time"].replace("Z", "+00:00"))
    return CloudEvent({**attributes, "time": time}, data)


# The SDK has two interfaces: today's, and `v1`, which was the only one before version 2 (as `cloudevents.kafka`).
WAYS = {
    "python-binary": lambda attributes, data: kafka.to_binary(event(attributes, data), JSONFormat()),
    "python-structured": lambda attributes, data: kafka.to_structured(event(attributes, data), JSONFormat()),
    "python-v1-binary": lambda attributes, data: kafka_v1.to_binary(CloudEventV1(attributes, data)),
    "python-v1-structured": lambda attributes, data: kafka_v1.to_structured(CloudEventV1(attributes, data)),
}


def main(brokers, topic):
    failures = []
    producer = Producer({"bootstrap.servers": brokers, "message.timeout.ms": 20_000})
    for line in sys.stdin:
        sent = json.loads(line)
        attributes = {**sent["attributes"], "datacontenttype": "application/json", "partitionkey": sent["key"]}
        message = WAYS[sent["way"]](attributes, sent["data"])
        producer.produce(
            topic,
            key=message.key,
            value=message.value,
            headers=list(message.headers.items()),
            on_delivery=lambda error, _: error and failures.append(str(error)),
        )
    left = producer.flush(20)
    if left or failures:
        sys.exit(f"{left} not delivered; {failures}")


main(*sys.argv[1:])
