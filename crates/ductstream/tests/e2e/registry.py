# Reads a topic to its end with Confluent's deserializers, as a consumer of today would, and prints a line of JSON per message.
# Arguments: brokers, registry, format (avro, json), topic.
import json, sys
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

brokers, registry, format, topic = sys.argv[1:]
client = SchemaRegistryClient({"url": registry})


def deserializer():
    if format == "avro":
        return AvroDeserializer(client)
    return JSONDeserializer(None, schema_registry_client=client)


key, value = deserializer(), deserializer()
consumer = Consumer({"bootstrap.servers": brokers, "group.id": "reader", "enable.auto.commit": False})
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
        print(json.dumps({
            "key": key(message.key(), SerializationContext(topic, MessageField.KEY)),
            "value": value(message.value(), SerializationContext(topic, MessageField.VALUE)),
            "schema": int.from_bytes(message.value()[1:5], "big"),
        }, default=str))
versions = client.get_versions(topic + "-value")
print(json.dumps({"versions": [client.get_version(topic + "-value", version).schema_id for version in versions]}))
