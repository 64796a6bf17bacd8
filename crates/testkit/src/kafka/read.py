# Prints every message of the topics as one line of JSON, partition by partition in order of offset.
# Arguments: configuration of the client as JSON, then topics.
import base64, json, sys, time
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

def text(data):
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}

def watermarks(place):
    # A broker that has just come back does not lead its partitions yet.
    until = time.monotonic() + 60
    while True:
        try:
            return consumer.get_watermark_offsets(place, timeout=20)
        except KafkaException as error:
            if not error.args[0].retriable() and error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION or time.monotonic() > until:
                raise
            time.sleep(0.1)

configuration = {"group.id": "reader", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
configuration.update(json.loads(sys.argv[1]))
consumer = Consumer(configuration)
for topic in sys.argv[2:]:
    metadata = consumer.list_topics(topic, timeout=20).topics[topic]
    if metadata.error is not None:
        continue
    for partition in sorted(metadata.partitions):
        place = TopicPartition(topic, partition, 0)
        low, high = watermarks(place)
        if low == high:
            continue
        consumer.assign([TopicPartition(topic, partition, low)])
        # Behind the last message there may be markers of transactions: the position passes them.
        while consumer.position([place])[0].offset < high:
            message = consumer.poll(0.5)
            if message is None:
                continue
            # Of what was committed since then, only a part would be seen.
            if not message.error() and message.offset() >= high:
                break
            if message.error():
                raise KafkaException(message.error())
            print(json.dumps({
                "topic": topic, "partition": partition, "offset": message.offset(),
                "key": text(message.key()), "value": text(message.value()),
                "headers": {name: text(value) for name, value in message.headers() or []},
            }))
consumer.close()
