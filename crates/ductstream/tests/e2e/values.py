# Writes the values of a topic's messages, as they are, into files of a directory. Arguments: brokers, topic, directory.
import pathlib, sys
from confluent_kafka import Consumer, TopicPartition

brokers, topic, directory = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": brokers, "group.id": "values", "enable.auto.commit": False})
for partition in sorted(consumer.list_topics(topic, timeout=20).topics[topic].partitions):
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
    consumer.assign([TopicPartition(topic, partition, low)])
    left = high - low
    while left:
        message = consumer.poll(1)
        if message is None:
            continue
        assert not message.error(), message.error()
        left -= 1
        pathlib.Path(directory, f"{partition:03}-{message.offset():09}").write_bytes(message.value())
