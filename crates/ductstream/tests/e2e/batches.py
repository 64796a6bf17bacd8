# Reads a topic whose messages are Parquet files with pyarrow, and prints what is in them.
import io, json, sys
import pyarrow.parquet
from confluent_kafka import Consumer, TopicPartition

address, topic = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": address, "group.id": "batches", "enable.auto.commit": False})
messages, rows, partitions = [], [], set()
for partition in consumer.list_topics(topic, timeout=20).topics[topic].partitions:
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
    consumer.assign([TopicPartition(topic, partition, low)])
    while low < high:
        message = consumer.poll(10)
        assert message is not None and not message.error() and message.key() is None
        low = message.offset() + 1
        messages.append(message.value())
        partitions.add(partition)
        rows += pyarrow.parquet.read_table(io.BytesIO(message.value())).to_pylist()
positions = [(row["_commit_lsn"], row["_seq"]) for row in rows]
print(json.dumps({
    "messages": len(messages), "largest": max(map(len, messages)), "partitions": len(partitions),
    "in_order": positions == sorted(positions),
    "inserts": sum(row["_op"] == "insert" for row in rows), "deletes": sum(row["_op"] == "delete" for row in rows),
}))
