"""Sends two requests with Confluent's JSON Schema serializer and reads the outcomes with its deserializer.

    pip install --require-hashes -r requirements.txt
    python client.py

BOOTSTRAP_SERVERS names the brokers and SCHEMA_REGISTRY the registry. nik-stream runs with topics.framing = "either" and with the ids that
the registry gave to the schemas of results and failures.
"""

import json
import os
import sys
import time
import uuid

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

SERVERS = {"bootstrap.servers": os.environ.get("BOOTSTRAP_SERVERS", "localhost:9092")}
REQUESTS, RESULTS, FAILURES = os.environ.get("TOPICS", "nik.requests nik.results nik.failures").split()

# A schema of your own is fine, as long as it has "nik" and "process"; schemas/request.schema.json has every rule.
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Request",
    "type": "object",
    "required": ["nik", "process"],
    "properties": {"nik": {"type": "array", "items": {"type": "string"}}, "process": {"type": "string"}},
}

registry = SchemaRegistryClient({"url": os.environ.get("SCHEMA_REGISTRY", "http://localhost:8081")})
serialize = JSONSerializer(json.dumps(SCHEMA), registry)  # registers the schema
deserialize = JSONDeserializer(None, schema_registry_client=registry)  # fetches that of each outcome, and checks the outcome

asked = [
    {"nik": ["3273010101900001", "1234567891234567"], "process": "limited"},
    {"nik": ["3273010101900001"], "process": "full"},
    {"nik": ["3273010101900001"], "process": "fast"},  # an unknown process
]
keys = [uuid.uuid4().hex.encode() for _ in asked]

producer = Producer(SERVERS | {"enable.idempotence": True})
for key, request in zip(keys, asked):
    producer.produce(REQUESTS, serialize(request, SerializationContext(REQUESTS, MessageField.VALUE)), key)
if producer.flush(30):
    sys.exit("the brokers did not acknowledge the requests")


def tell(number, outcome):
    if outcome["message"] == "failed":
        print(number, "failed", *outcome["data"])
        return
    for nik, told in outcome["data"].items():
        is_valid = told if isinstance(told, bool) else told["valid"]
        print(number, nik, "valid" if is_valid else "not valid")


consumer = Consumer(SERVERS | {
    "group.id": "client-python-registry",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
})
consumer.subscribe([RESULTS, FAILURES])
waiting = {key: number for number, key in enumerate(keys, 1)}  # requests without an outcome
deadline = time.monotonic() + 60
while waiting and time.monotonic() < deadline:
    record = consumer.poll(1)
    if record is None or record.error():
        continue
    if record.key() in waiting:
        context = SerializationContext(record.topic(), MessageField.VALUE)
        tell(waiting[record.key()], deserialize(record.value(), context))
        del waiting[record.key()]
    consumer.commit(record)  # after processing the outcome
consumer.close()
if waiting:
    sys.exit(f"no outcome after a minute: {list(waiting.values())}")
