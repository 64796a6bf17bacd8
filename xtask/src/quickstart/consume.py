"""Folds tables' topics as a consumer does that applies messages as they come, per key.

Reads the request from the file named by the argument: the brokers, and of each table its topic and columns. Prints, per table, how many
changes of each kind arrived, and rows and checksum of what they add up to.
"""

import datetime
import hashlib
import json
import sys

from confluent_kafka import Consumer, KafkaException, TopicPartition


def messages(consumer, topic):
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    for partition in sorted(partitions):
        place = TopicPartition(topic, partition)
        low, high = consumer.get_watermark_offsets(place, timeout=20)
        consumer.assign([TopicPartition(topic, partition, low)])
        # Behind the last message there are markers of transactions: the position passes them.
        while low < high and consumer.position([place])[0].offset < high:
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            yield message


def text(column, value):
    """The value as PostgreSQL writes it."""
    if value is None:
        return "~"
    kind = column["type_name"]
    if kind == "timestamptz":
        since = datetime.datetime.fromisoformat(value) - datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
        return str(since // datetime.timedelta(microseconds=1))
    if kind == "bool":
        return "true" if value else "false"
    if kind == "jsonb":
        return json.dumps(value, ensure_ascii=False)
    if kind.startswith("_"):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def fold(consumer, table):
    counts = {"inserts": 0, "updates": 0, "deletes": 0, "unchanged": 0, "objects": 0}
    rows = {}
    for message in messages(consumer, table["topic"]):
        counts["objects"] += 1
        key, change = message.key(), json.loads(message.value())
        kind = change.pop("_op")
        counts[kind + "s"] += 1
        if kind == "delete":
            del rows[key]
            continue
        counts["unchanged"] += change["_unchanged"] is not None
        # A column that is unchanged is not in the message.
        rows[key] = rows.get(key, {}) | change
    columns = table["columns"]
    sums = sorted(md5("|".join(text(column, row[column["name"]]) for column in columns)) for row in rows.values())
    return {"arrived": counts, "contents": [len(rows), md5("".join(sums)) if sums else None]}


request = json.load(open(sys.argv[1]))
consumer = Consumer({
    "bootstrap.servers": request["brokers"],
    "group.id": "quickstart",
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
})
print(json.dumps([fold(consumer, table) for table in request["tables"]]))
consumer.close()
