"""Sends four requests to nik-stream and reads the outcomes, with confluent-kafka.

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

# Send NIKs as strings. As numbers, those of province 91 or later exceed 2^53, which many JSON parsers cannot represent. A number with a
# leading zero is not valid JSON, so the whole request fails.
asked = [
    {"nik": ["3273010101900001", "1234567891234567"], "process": "limited"},
    {"nik": ["3273010101900001"], "process": "full"},
    {"nik": [{"nik": "3273010101900001", "birth_date": "1990-01-11", "gender": "Man"}, "1234567891234567"], "process": "explain"},
    {"nik": ["3273010101900001"], "process": "fast"},  # an unknown process
]
keys = [uuid.uuid4().hex.encode() for _ in asked]  # your own, such as an application id; the outcome has the same key, byte for byte

producer = Producer(SERVERS | {"enable.idempotence": True})  # a retry does not create a second request
for key, request in zip(keys, asked):
    producer.produce("nik.requests", json.dumps(request), key)
if producer.flush(30):
    sys.exit("the brokers did not acknowledge the requests")


def tell(number, record):
    if record.topic() == "nik.failures":
        print(number, "failed:", dict(record.headers())["nik-failure-reason"].decode())
        return
    data = json.loads(record.value())["data"]
    if isinstance(data, list):  # explain: one entry for each readable element, in the order sent
        for entry in data:
            reasons = [(name, section["reason"]) for name, section in entry["sections"].items() if section["reason"]]
            declared = [(name, outcome) for name, outcome in (entry["declared"] or {}).items() if name != "consistent"]
            print(number, entry["nik"], ", ".join(f"{name} {why}" for name, why in reasons + declared))
        return
    for nik, told in data.items():
        if isinstance(told, bool):
            print(number, nik, "valid" if told else "not valid")
        else:
            area = told["data"]["area"]["value"]
            print(number, nik, f"{area['district']}, born {told['data']['dob']['value']['dob']}")


consumer = Consumer(SERVERS | {
    "group.id": "client-python",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "isolation.level": "read_committed",  # uncommitted records are not outcomes
})
consumer.subscribe(["nik.results", "nik.failures"])
waiting = {key: number for number, key in enumerate(keys, 1)}  # requests without an outcome
deadline = time.monotonic() + 60
while waiting and time.monotonic() < deadline:
    record = consumer.poll(1)
    if record is None or record.error():
        continue
    if record.key() in waiting:  # other clients have outcomes here too
        tell(waiting[record.key()], record)
        del waiting[record.key()]
    consumer.commit(record)  # after processing the outcome: a crash before this repeats it, so process it idempotently
consumer.close()
if waiting:
    sys.exit(f"no outcome after a minute: {list(waiting.values())}")
