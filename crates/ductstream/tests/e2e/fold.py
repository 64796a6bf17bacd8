# Folds a table's changes, as Parquet or JSON objects with the flat envelope, to the rows that remain.
# fold.py OUT TABLE COLUMNS manifests|glob
import glob, json, sys, duckdb

out, table, columns, through = sys.argv[1:5]
columns = columns.split(",")
if through == "manifests":
    paths, previous = [], None
    for cut in sorted(glob.glob(f"{out}/_cuts/*.json")):
        manifest = json.load(open(cut))
        assert manifest["previous"] == previous, f"{cut}: previous is {manifest['previous']}, not {previous}"
        assert previous in (None, manifest["from"]), f"{cut}: from is {manifest['from']}, the cut before is {previous}"
        previous = manifest["position"]
        paths += [o["path"] for o in manifest["objects"] if f"{o['table']['namespace']}.{o['table']['name']}" == table]
    paths = [p if p.startswith("/") else f"{out}/{p}" for p in paths]
else:
    paths = glob.glob(f"{out}/{table}/**/*.parquet", recursive=True) + glob.glob(f"{out}/{table}/**/*.jsonl", recursive=True)
if not paths:
    sys.exit(0)
db = duckdb.connect()
# It would be one row more, whenever the machine is busy.
db.execute("set enable_progress_bar = false")
reader = "read_parquet" if paths[0].endswith("parquet") else "read_json"
db.execute(f"create table changes as select * from {reader}({paths!r}, union_by_name=true)")
twice = db.execute("select _commit_lsn, _seq, count(*) from changes group by all having count(*) > 1").fetchall()
assert not twice, f"delivered more than once: {twice[:5]}"
key = columns[0]
lsn = "_commit_lsn" if reader == "read_parquet" else \
    "(('0x' || split_part(_commit_lsn, '/', 1))::ubigint * 4294967296 + ('0x' || split_part(_commit_lsn, '/', 2))::ubigint)"
names = {row[0] for row in db.execute("describe changes").fetchall()}
shown = ", ".join(f"{c}::varchar" for c in columns)
old = f"coalesce(_old_key.{key}, {key})" if "_old_key" in names and db.execute(
    "select count(_old_key) from changes").fetchone()[0] else key
rows = db.execute(f"""
    with truncated as (select coalesce(max(({lsn})::hugeint * 4294967296 + _seq), -1) bound from changes where _op = 'truncate'),
    ended as (
        select {key} __key, {lsn} __lsn, _seq __seq, _op <> 'delete' __alive, * from changes where _op <> 'truncate'
        union all by name
        select {old} __key, {lsn} __lsn, _seq __seq, false __alive, * from changes where _op = 'update' and {old} <> {key}),
    last as (select *, row_number() over (partition by __key order by __lsn desc, __seq desc, __alive desc) __rank from ended)
    select {shown} from last, truncated
    where __rank = 1 and __alive and __lsn::hugeint * 4294967296 + __seq > bound""").fetchall()
for line in sorted(json.dumps(list(row), separators=(",", ":"), ensure_ascii=False) for row in rows):
    print(line)
