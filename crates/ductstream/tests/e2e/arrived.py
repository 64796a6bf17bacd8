# Prints which operations each table's objects hold, in order, as the manifests below a directory name them.
# arrived.py DIRECTORY
import glob, json, sys, duckdb, fastavro, pyarrow.ipc

root = sys.argv[1]
# It would go to standard output.
duckdb.execute("set enable_progress_bar = false")
found = {}
for cut in sorted(glob.glob(f"{root}/_cuts/*.json")):
    for entry in json.load(open(cut))["objects"]:
        path = f"{root}/{entry['path']}"
        if path.endswith(".avro"):
            operations = [row.get("_op") or row["op"] for row in fastavro.reader(open(path, "rb"))]
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
