# Reads topics with Confluent's deserializers, as a consumer of Debezium's would, and prints a line of JSON per message, and one with the
# registered schemas. Arguments: brokers, registry, format (avro, proto), topics. Follows connect.py.
import importlib, pathlib, sys, tempfile
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from grpc_tools import protoc

brokers, registry, format, *topics = sys.argv[1:]
client = SchemaRegistryClient({"url": registry})
classes = {}


def compiled(id):
    if id not in classes:
        with tempfile.TemporaryDirectory() as directory:
            name = f"schema_{id}"
            pathlib.Path(directory, name + ".proto").write_text(client.get_schema(id).schema_str)
            assert protoc.main(["protoc", f"-I{directory}", f"--python_out={directory}", name + ".proto"]) == 0
            sys.path.insert(0, directory)
            text = pathlib.Path(directory, name + "_pb2.py").read_text()
            text = text.replace("_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()")
            pathlib.Path(directory, name + "_pb2.py").write_text(text)
            module = importlib.import_module(name + "_pb2")
            classes[id] = getattr(module, next(iter(module.DESCRIPTOR.message_types_by_name)))
    return classes[id]


def value(data, context):
    if data is None:
        return None
    id = int.from_bytes(data[1:5], "big")
    if format == "avro":
        read = plain(AvroDeserializer(client)(data, context))
        assert read == avro(data[5:], json.loads(client.get_schema(id).schema_str)), "fastavro reads something else"
        return read
    return proto(ProtobufDeserializer(compiled(id), {"use.deprecated.format": False})(data, context))


consumer = Consumer({"bootstrap.servers": brokers, "group.id": "reader", "enable.auto.commit": False})
for topic in topics:
    [partition] = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
    consumer.assign([TopicPartition(topic, partition, low)])
    while low < high:
        message = consumer.poll(1)
        if message is None:
            continue
        assert not message.error(), message.error()
        low = message.offset() + 1
        print(json.dumps({
            "topic": topic,
            "key": value(message.key(), SerializationContext(topic, MessageField.KEY)),
            "headers": {name: text.decode() for name, text in message.headers() or []},
            "value": value(message.value(), SerializationContext(topic, MessageField.VALUE)),
        }))

subjects = [f"{topic}-{part}" for topic in topics for part in ("key", "value")]
known = client.get_subjects()
schemas = lambda subject: [client.get_version(subject, version).schema.schema_str for version in client.get_versions(subject)]
print(json.dumps({subject: schemas(subject) for subject in subjects if subject in known}))
