"""Asks nik-stream three things and reads the outcomes, with confluent-kafka.

    pip install --require-hashes -r requirements.txt
    python client.py

BOOTSTRAP_SERVERS names the brokers, localhost:9092 by default.
"""

import json
import os
import sys
import time
import uuid

from confluent_kafka import Consumer, Producer

SERVERS = {"bootstrap.servers": os.environ.get("BOOTSTRAP_SERVERS", "localhost:9092")}

# NIKs are text. As a number one of province 91 or later passes 2^53, which many readers of JSON on the way do not hold; and a
# code that begins with 0 is no JSON at all: the whole request fails.
asked = [
    {"nik": ["3273010101900001", "1234567891234567"], "process": "limited"},
    {"nik": ["3273010101900001"], "process": "full"},
    {"nik": ["3273010101900001"], "process": "fast"},  # there is no such process
]
keys = [uuid.uuid4().hex for _ in asked]  # yours: the id of an application, say. The outcome carries the same one.

producer = Producer(SERVERS | {"enable.idempotence": True})  # a retry never becomes a second request
for key, request in zip(keys, asked):
    producer.produce("nik.requests", json.dumps(request), key)
if producer.flush(30):
    sys.exit("the brokers did not take the requests")

consumer = Consumer(SERVERS | {
    "group.id": "client-python",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "isolation.level": "read_committed",  # what was not committed is no outcome
})
consumer.subscribe(["nik.results", "nik.failures"])
outcomes, deadline = {}, time.monotonic() + 60
while len(outcomes) < len(keys) and time.monotonic() < deadline:
    record = consumer.poll(1)
    if record is None or record.error():
        continue
    key = (record.key() or b"").decode()
    if key in keys:  # others ask, too
        outcomes[key] = record
    consumer.commit(record)  # once the outcome is dealt with: a crash before brings it again, so deal with a key twice alike
consumer.close()

for number, key in enumerate(keys, 1):
    if key not in outcomes:
        sys.exit(f"{number} has no outcome after a minute")
    record = outcomes[key]
    if record.topic() == "nik.failures":
        print(number, "failed:", dict(record.headers())["nik-failure-reason"].decode())
        continue
    for nik, told in json.loads(record.value())["data"].items():
        if isinstance(told, bool):
            print(number, nik, "valid" if told else "not valid")
        else:
            area = told["data"]["area"]["value"]
            print(number, nik, f"{area['district']}, born {told['data']['dob']['value']['dob']}")
