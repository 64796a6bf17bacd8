# Reads a topic to its end with Confluent's deserializers, as a consumer of today would, and prints a line of JSON per message.
# Arguments: brokers, registry, format (avro, json, proto), topic. Protobuf's classes are compiled from the schema that is registered, by protoc.
import importlib, json, pathlib, sys, tempfile
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from grpc_tools import protoc

brokers, registry, format, topic = sys.argv[1:]
client = SchemaRegistryClient({"url": registry})


def deserializer():
    if format == "avro":
        return AvroDeserializer(client)
    if format == "json":
        return JSONDeserializer(None, schema_registry_client=client)
    return lambda data, context: fields(ProtobufDeserializer(compiled(data), {"use.deprecated.format": False})(data, context))


classes = {}


def compiled(data):
    id = int.from_bytes(data[1:5], "big")
    if id not in classes:
        with tempfile.TemporaryDirectory() as directory:
            name = f"schema_{id}"
            pathlib.Path(directory, name + ".proto").write_text(client.get_schema(id).schema_str)
            assert protoc.main(["protoc", f"-I{directory}", f"--python_out={directory}", name + ".proto"]) == 0
            sys.path.insert(0, directory)
            # Versions of one schema have the same names: each module has descriptors of its own.
            text = pathlib.Path(directory, name + "_pb2.py").read_text()
            text = text.replace("_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()")
            pathlib.Path(directory, name + "_pb2.py").write_text(text)
            module = importlib.import_module(name + "_pb2")
            first = next(iter(module.DESCRIPTOR.message_types_by_name))
            classes[id] = getattr(module, first)
    return classes[id]


def fields(message):
    value = lambda field: None if field.has_presence and not message.HasField(field.name) else getattr(message, field.name)
    return {field.json_name: value(field) for field in message.DESCRIPTOR.fields}


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
