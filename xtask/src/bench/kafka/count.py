"""Counts a topic's messages and its distinct keys with Confluent's client, and deletes the topic."""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

address, topic = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": address, "group.id": "count", "enable.auto.commit": False})
partitions = consumer.list_topics(topic).topics[topic].partitions
ends = {
    partition: consumer.get_watermark_offsets(TopicPartition(topic, partition))[1] for partition in partitions
}
consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
messages, keys, rest = 0, set(), sum(ends.values())
while rest > 0:
    batch = consumer.consume(min(rest, 10_000), 30)
    if not batch:
        sys.exit(f"{rest} messages of {topic} did not come")
    for message in batch:
        if message.error():
            sys.exit(str(message.error()))
        keys.add(message.key())
    messages += len(batch)
    rest -= len(batch)
consumer.close()
admin = AdminClient({"bootstrap.servers": address})
admin.delete_topics([topic])[topic].result()
print(messages, len(keys))
