"""Creates a topic, and prints each message of it as soon as Confluent's client hands it out."""

import os
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

address, topic, partitions = sys.argv[1], sys.argv[2], int(sys.argv[3])
admin = AdminClient({"bootstrap.servers": address})
admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()
consumer = Consumer({"bootstrap.servers": address, "group.id": "follow", "enable.auto.commit": False})
consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(partitions)])
# Its first fetch is on its way when this has returned.
consumer.poll(1)
os.write(1, b"ready\n")
while True:
    message = consumer.poll(1)
    if message is None:
        continue
    if message.error():
        sys.exit(str(message.error()))
    os.write(1, message.value() + b"\n")
