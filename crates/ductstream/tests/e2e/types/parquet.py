# Prints each record of the Parquet objects below directories, as JSON: operation, what is unchanged, and its images with each
# column's value as a literal of PostgreSQL.
# parquet.py flat|native DIRECTORY...
import base64, datetime, decimal, glob, json, math, sys
import pyarrow as pa, pyarrow.parquet as pq

envelope, directories = sys.argv[1], sys.argv[2:]
EPOCH = datetime.date(1970, 1, 1).toordinal()


def date(days):
    # 400 years are 146097 days; python's own dates begin with year 1.
    cycles, rest = divmod(days + EPOCH - 1, 146097)
    day = datetime.date.fromordinal(rest + 1)
    year = day.year + 400 * cycles
    return f"{year if year > 0 else 1 - year:04}-{day.month:02}-{day.day:02}", "" if year > 0 else " BC"


def time(micros):
    seconds, micros = divmod(micros, 1_000_000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}"


def timestamp(micros, zone):
    days, micros = divmod(micros, 86_400_000_000)
    day, era = date(days)
    return f"{day} {time(micros)}{zone}{era}"


def real(value):
    return repr(value) if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def items(values, delimiter=","):
    return "{" + delimiter.join("NULL" if v is None else quoted(v) for v in values) + "}"


def interval(scalar):
    months, days, micros = (scalar[name].as_py() for name in ("months", "days", "micros"))
    hours, minutes, seconds = time(abs(micros)).split(":")
    sign = "-" if micros < 0 else ""
    # As ISO 8601: servers before 16 do not read the ends of the type's range as they print them.
    return f"P{months}M{days}DT{sign}{hours}H{sign}{minutes}M{sign}{seconds}S"


def range_(scalar):
    if scalar["empty"].as_py():
        return "empty"
    lower, upper = literal(scalar["lower"]), literal(scalar["upper"])
    bound = lambda v: "" if v is None else quoted(v)
    return ("[" if scalar["lower_inc"].as_py() else "(") + bound(lower) + "," + bound(upper) + (
        "]" if scalar["upper_inc"].as_py() else ")")


def struct(scalar):
    names = [field.name for field in scalar.type]
    # A composite's fields may be null, whatever their names; those of intervals and ranges never are.
    if names == ["months", "days", "micros"] and not scalar.type.field(0).nullable:
        return interval(scalar)
    if names == ["lower", "upper", "lower_inc", "upper_inc", "empty"] and not scalar.type.field(4).nullable:
        return range_(scalar)
    return "(" + ",".join("" if v is None else quoted(v) for v in (literal(scalar[n]) for n in names)) + ")"


def literal(scalar):
    if not scalar.is_valid:
        return None
    kind = scalar.type
    if isinstance(kind, pa.BaseExtensionType):
        return uuid(scalar.value) if kind.extension_name == "arrow.uuid" else literal(scalar.value)
    if pa.types.is_boolean(kind):
        return "true" if scalar.as_py() else "false"
    if pa.types.is_integer(kind):
        return str(scalar.as_py())
    if pa.types.is_floating(kind):
        return real(scalar.as_py())
    if pa.types.is_decimal(kind):
        return format(scalar.as_py(), "f")
    if pa.types.is_string(kind):
        return scalar.as_py()
    if pa.types.is_fixed_size_binary(kind):
        return uuid(scalar)
    if pa.types.is_binary(kind):
        return "\\x" + scalar.as_py().hex()
    if pa.types.is_date32(kind):
        return "".join(date(scalar.value))
    if pa.types.is_time(kind):
        assert kind == pa.time64("us"), kind
        return time(scalar.value)
    if pa.types.is_timestamp(kind):
        assert kind.unit == "us", kind
        return timestamp(scalar.value, "+00" if kind.tz else "")
    if pa.types.is_map(kind):
        pairs = ((entry["key"], entry["value"]) for entry in scalar.values)
        return ",".join(quoted(k.as_py()) + "=>" + (quoted(v.as_py()) if v.is_valid else "NULL") for k, v in pairs)
    if pa.types.is_list(kind):
        of_ranges = pa.types.is_struct(kind.value_type) and kind.value_type.get_field_index("lower_inc") >= 0
        values = [literal(value) for value in scalar.values]
        # A multirange's ranges are not quoted; an array's are. The field of an array's elements names its type.
        if of_ranges and b"pg.type" not in (kind.value_field.metadata or {}):
            return "{" + ",".join(values) + "}"
        return items(values, (kind.value_field.metadata or {}).get(b"pg.delimiter", b",").decode())
    assert pa.types.is_struct(kind), kind
    return struct(scalar)


def uuid(scalar):
    text = scalar.as_buffer().to_pybytes().hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def record(table, row):
    at = lambda name: table.column(name)[row]
    if envelope == "native":
        names = ["after", "before", "key"]
        images, op, unchanged = {}, "op", "unchanged"
    else:
        names = ["_old_key"]
        images = {"row": {n: literal(at(n)) for n in table.column_names if not n.startswith("_")}}
        op, unchanged = "_op", "_unchanged"
    for name in names:
        if name in table.column_names and at(name).is_valid:
            images[name] = {field.name: literal(at(name)[field.name]) for field in at(name).type}
    return {"op": at(op).as_py(), "unchanged": at(unchanged).as_py() or [], "images": images}


for index, directory in enumerate(directories):
    for path in sorted(glob.glob(f"{glob.escape(directory)}/**/*.parquet", recursive=True)):
        table = pq.read_table(path)
        for row in range(table.num_rows):
            print(json.dumps({"directory": index, **record(table, row)}))
