# Prints which operations each table's objects hold, in order, as the manifests below a directory name them.
# arrived.py DIRECTORY
import glob, json, sys, duckdb, fastavro, pyarrow.ipc

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, proto

root = sys.argv[1]
# It would go to standard output.
duckdb.execute("set enable_progress_bar = false")


def protobuf(path):
    """The messages of a length-delimited file, by the descriptors that its first one is."""
    file = open(path, "rb")
    [described] = proto.parse_length_prefixed(descriptor_pb2.FileDescriptorSet, file).file
    pool = descriptor_pool.DescriptorPool()
    pool.Add(described)
    first = pool.FindMessageTypeByName(f"{described.package}.{described.message_type[0].name}")
    row = message_factory.GetMessageClass(first)
    while (message := proto.parse_length_prefixed(row, file)) is not None:
        yield message


found = {}
for cut in sorted(glob.glob(f"{root}/_cuts/*.json")):
    for entry in json.load(open(cut))["objects"]:
        path = f"{root}/{entry['path']}"
        if path.endswith(".avro"):
            operations = [row.get("_op") or row["op"] for row in fastavro.reader(open(path, "rb"))]
        elif path.endswith(".pb"):
            operations = [getattr(row, "_op", "") or row.op for row in protobuf(path)]
        elif path.endswith(".arrow"):
            rows = pyarrow.ipc.open_file(path).read_all()
            operations = rows.column("_op" if "_op" in rows.column_names else "op").to_pylist()
        else:
            relation = duckdb.read_parquet(path) if path.endswith(".parquet") else duckdb.read_json(path)
            operation = "_op" if "_op" in relation.columns else "op"
            operations = [row[0] for row in relation.project(f'"{operation}"').fetchall()]
        assert len(operations) == entry["rows"], f"{path}: {len(operations)} rows, {entry['rows']} in the manifest"
        table = f"{entry['table']['namespace']}.{entry['table']['name']}"
        found.setdefault(table, []).extend(operations)
print(json.dumps(found))
