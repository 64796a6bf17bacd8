"""Reads what a flow has delivered into topics, as Confluent's client reads it, partition by partition."""

from collections import defaultdict

from confluent_kafka import Consumer, KafkaException, TopicPartition

from changes import change_of, differ, exact_json, lsn
from runs import in_order


def messages(consumer, topic, partition):
    """Everything committed in a partition."""
    place = TopicPartition(topic, partition, 0)
    _, end = consumer.get_watermark_offsets(place, timeout=60)
    consumer.assign([place])
    while end and consumer.position([place])[0].offset < end:
        message = consumer.poll(0.5)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        yield message


def position(headers):
    at, seq = headers["ductstream.position"].decode().split("+")
    return lsn(at), int(seq)


def with_tombstones(where, records, tombstones, wanted, exactly_once):
    """Deletions and changes of keys, and only those, have a tombstone of their key."""
    if not wanted:
        if tombstones:
            differ(f"{where}: {len(tombstones)} tombstones that nobody asked for")
        return
    for at, key in records:
        if not tombstones[at, key]:
            differ(f"{where}: the deletion of {key} at {at} has no tombstone")
    for (at, key), times in tombstones.items():
        if exactly_once and times > 1:
            differ(f"{where}: {times} tombstones of {key} at {at}")


def read_topics(brokers, prefix, delivery, tombstones):
    """Each change once, as it came first, and figures for the report."""
    exactly_once = delivery == "exactly_once"
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "chaos", "isolation.level": "read_committed"})
    first, partition_of, truncated = {}, {}, defaultdict(set)
    count = repeated = 0
    topics = {name: topic for name, topic in consumer.list_topics(timeout=60).topics.items() if name.startswith(prefix)}
    for topic, metadata in topics.items():
        for partition in metadata.partitions:
            where, positions, deleted, found = f"{topic}-{partition}", [], set(), defaultdict(int)
            for message in messages(consumer, topic, partition):
                headers, key = dict(message.headers()), message.key()
                at, relation = position(headers), headers["ductstream.table"].decode().removeprefix("public.")
                count += 1
                positions.append((at, message.value() is None))
                if key is not None and partition_of.setdefault((topic, key), partition) != partition:
                    differ(f"{where}: {key} is in partition {partition_of[topic, key]}, too")
                if message.value() is None:
                    found[at, key] += 1
                    continue
                record = relation, *change_of(relation, exact_json(message.value()))
                op = record[3]["op"]
                if record[1] != at or headers["ductstream.op"].decode() != op:
                    differ(f"{where}: the headers {headers} are not those of {record}")
                if op == "truncate":
                    truncated[topic, at].add(partition)
                elif at in first:
                    repeated += 1
                if op == "delete":
                    deleted.add((at, key))
                if first.setdefault(at, record) != record:
                    differ(f"{where}: {record} was {first[at]} when it came first")
            in_order(where, positions, exactly_once)
            with_tombstones(where, deleted, found, tombstones == "tombstones", exactly_once)
    for (topic, at), partitions in truncated.items():
        if len(partitions) != len(topics[topic].partitions):
            differ(f"{topic}: the truncation at {at} is in the partitions {partitions} only")
    consumer.close()
    return list(first.values()), {"messages": count, "repeated": repeated}
