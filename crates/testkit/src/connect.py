# What a consumer makes of keys and values in the envelope `debezium`, as the JSON that Connect's JsonConverter would have written:
# bytes are base64, decimals the bytes of their integers.
import base64, datetime, decimal, fastavro, io, json, math


def text(data):
    return base64.b64encode(data).decode()


def integer(number):
    length = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return text(number.to_bytes(length, "big", signed=True))


def plain(value):
    if isinstance(value, decimal.Decimal):
        sign, digits, _ = value.as_tuple()
        number = int("".join(map(str, digits)))
        return integer(-number if sign else number)
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    assert value is None or isinstance(value, (bool, int, float, str)), type(value)
    return value


# Numbers that Python's types of time cannot hold, and that JSON has as numbers, stay so.
for name in fastavro.read.LOGICAL_READERS:
    if name.endswith(("date", "millis")):
        fastavro.read.LOGICAL_READERS[name] = lambda number, *_: number


def avro(data, schema):
    stream = io.BytesIO(data)
    value = fastavro.schemaless_reader(stream, fastavro.parse_schema(schema), None)
    assert stream.read() == b"", "there is more than the value"
    return plain(value)


def proto(message):
    from google.protobuf import unknown_fields
    assert not unknown_fields.UnknownFieldSet(message)
    fields = message.DESCRIPTOR.fields
    names = [field.name for field in fields]
    if message.DESCRIPTOR.name == "Decimal" and names == ["value", "precision", "scale"]:
        return text(message.value)
    if names == ["items"] and fields[0].is_repeated:
        return [item(one) for one in message.items]
    if names == ["entries"] and fields[0].is_repeated:
        return {entry.key: proto(entry)["value"] for entry in message.entries}
    value = lambda field: getattr(message, field.name) if message.HasField(field.name) else None
    member = lambda it: proto(it) if hasattr(it, "DESCRIPTOR") else plain(it)
    return {field.json_name: member(value(field)) for field in fields}


def item(one):
    if not hasattr(one, "DESCRIPTOR"):
        return plain(one)
    return proto(one)["value"] if [field.name for field in one.DESCRIPTOR.fields] == ["value"] else proto(one)
