"""Compares a source with the files of a flow that has drained it, and prints what it found as JSON.

compare.py URL LAKE EVIDENCE

The audit table says what was committed: per transaction the changes in order, with the values before and after. The
files have to hold exactly that, under the same places in the same transactions; in commit order per key; and folded,
they have to give the source's tables. The files are read here by DuckDB and Python, and by nothing of the product's.
Where something differs, the directory EVIDENCE gets all differences and the audit.
"""

import functools
import glob
import hashlib
import json
import os
import sys
from collections import Counter

import duckdb
import psycopg
import psycopg.types.json

url, lake, evidence = sys.argv[1:]
KEYS = {
    "accounts": ["id"],
    "documents": ["id", "part"],
    "pages": ["id"],
    "scratch": ["id"],
    "events": ["kind", "note"],
    "journal": ["id"],
}
WITHOUT_PRIMARY_KEY = {"events"}
FULL_IDENTITY = {"pages", "events"}
SHOWN = 20
exact_json = functools.partial(json.loads, parse_float=str)
psycopg.types.json.set_json_loads(exact_json)
differences = []
# It would go to standard output.
duckdb.execute("set enable_progress_bar = false")


def differ(message):
    differences.append(message)


def text(column, value):
    """A value as text; of a body its digest, as in the audit."""
    if value is None:
        return None
    return hashlib.md5(value.encode()).hexdigest() if column == "body" else str(value)


def image(row, digested=False):
    if row is None:
        return None
    return {column: text("" if digested else column, value) for column, value in row.items()}


def key(relation, row):
    return None if row is None else {column: row[column] for column in KEYS[relation]}


# What the files hold


def lsn(text_or_number):
    if isinstance(text_or_number, int):
        return text_or_number
    high, low = text_or_number.split("/")
    return int(high, 16) << 32 | int(low, 16)


def position(document):
    return lsn(document["commit_lsn"]), document["seq"]


def records(path):
    if path.endswith(".parquet"):
        # Without the commit time, for which Python would need a time zone database.
        wanted = "columns(lambda name: name not in ('_commit_time', 'commit_time'))"
        rows = duckdb.execute(f"select {wanted} from read_parquet(?, hive_partitioning = false)", [path])
        names = [column[0] for column in rows.description]
        return [dict(zip(names, row)) for row in rows.fetchall()]
    with open(path) as lines:
        return [exact_json(line) for line in lines]


def from_flat(relation, row):
    columns = {name: value for name, value in row.items() if not name.startswith("_")}
    op, unchanged = row["_op"], row["_unchanged"] or []
    after = image({name: value for name, value in columns.items() if name not in unchanged})
    change = {"op": op, "key": None, "old": image(row.get("_old_key")), "before": None, "after": None}
    if op == "delete":
        change["key"] = key(relation, after)
    elif op != "truncate":
        change |= {"key": key(relation, after), "after": after}
    return (lsn(row["_commit_lsn"]), row["_seq"]), row["_xid"], change | {"unchanged": set(unchanged)}


def from_native(relation, row):
    before, after, unchanged = image(row["before"]), image(row["after"]), set(row["unchanged"] or [])
    if after is not None:
        after = {name: value for name, value in after.items() if name not in unchanged}
    new, old = image(row["key"]), key(relation, before)
    change = {"op": row["op"], "key": new, "old": old if row["op"] == "update" and old not in (None, new) else None}
    change |= {"before": before, "after": after, "unchanged": unchanged}
    return position(row["position"]), row["xid"], change


def read(entry):
    """The changes of one object of a manifest, which has to tell the truth about it."""
    path, relation = os.path.join(lake, entry["path"]), entry["table"]["name"]
    if not os.path.exists(path):
        differ(f"{entry['path']} is in a manifest and not there")
        return []
    if os.path.getsize(path) != entry["bytes"]:
        differ(f"{entry['path']} has {os.path.getsize(path)} bytes, {entry['bytes']} in its manifest")
        return []
    rows = records(path)
    changes = [(relation, *(from_flat if "_op" in row else from_native)(relation, row)) for row in rows]
    at = [change[1] for change in changes]
    bounds = [position(entry["first"]), position(entry["last"])]
    if at != sorted(at) or not at or [at[0], at[-1]] != bounds or len(at) != entry["rows"]:
        differ(f"{entry['path']} is not in order, or its manifest is wrong about its rows")
    return changes


def read_manifests():
    changes, named, previous = [], [], None
    cuts = sorted(glob.glob(f"{lake}/_cuts/*.json"))
    for cut in cuts:
        with open(cut) as file:
            manifest = json.load(file)
        if manifest["previous"] != previous or previous not in (None, manifest["from"]):
            differ(f"{cut}: goes on at {manifest['previous']} and {manifest['from']}, the cut before is {previous}")
        previous = manifest["position"]
        found = [change for entry in manifest["objects"] for change in read(entry)]
        outside = [it for it in found if not position(manifest["from"]) <= it[1] < position(manifest["position"])]
        if outside:
            differ(f"{cut}: holds changes that do not belong to this cut, the first at {outside[0][1]}")
        named += [entry["path"] for entry in manifest["objects"]]
        changes += found
    return changes, named, len(cuts)


def glob_agrees(named):
    """A plain glob finds what the manifests name, each object once, and nothing is left lying about."""
    files = {os.path.relpath(path, lake) for path in glob.glob(f"{lake}/**", recursive=True) if os.path.isfile(path)}
    for path in {path for path in files if not path.startswith("_cuts/")} - set(named):
        differ(f"{path} is there, and no manifest names it")
    for path, times in Counter(named).items():
        if times > 1:
            differ(f"{path} is named {times} times in manifests")


# What the source says


def expected_changes(connection):
    """By transaction and place in it: the audit's number and the change."""
    changes, places = {}, Counter()
    rows = connection.execute("select id, xid, relation, op, before, after from audit order by id")
    for number, xid, relation, op, before, after in rows:
        before, after = image(before, True), image(after, True)
        old, new = key(relation, before), key(relation, after)
        change = {"op": op, "key": new or old, "old": old if op == "update" and old != new else None}
        changes[xid, places[xid]] = number, relation, change | {"before": before, "after": after}
        places[xid] += 1
    return changes


def same(relation, expected, found):
    if any(expected[part] != found[part] for part in ("op", "key", "old")):
        return False
    before, after = expected["before"], expected["after"]
    # Images of the old row hold what the WAL held of it: nothing, the key, or under FULL the whole row.
    if found["before"] is not None and any(value is not None and before[name] != value for name, value in found["before"].items()):
        return False
    if after is None:
        return not found["after"] and not found["unchanged"]
    if found["unchanged"] and (relation in FULL_IDENTITY or expected["op"] != "update"):
        return False
    if any(before[name] != after[name] for name in found["unchanged"]):
        return False
    return found["after"] == {name: value for name, value in after.items() if name not in found["unchanged"]}


def compare_changes(expected, found):
    for place in expected.keys() | found.keys():
        xid, seq = place
        if place not in found:
            _, relation, change = expected[place]
            differ(f"{relation}: lost: transaction {xid}, change {seq}: {change}")
        elif place not in expected:
            differ(f"{found[place][0]}: never committed: transaction {xid}, change {seq}: {found[place][2]}")
        elif expected[place][1] != found[place][0] or not same(found[place][0], expected[place][2], found[place][2]):
            differ(f"{expected[place][1]}: transaction {xid}, change {seq}: {expected[place][2]} became {found[place]}")


def compare_order(expected, found):
    """Whoever changes a row holds it until the commit, so the audit's numbers are in commit order per key; and a
    truncate holds the table."""
    last, emptied = {}, {}
    for place, (number, relation, change) in sorted(expected.items(), key=lambda item: item[1][0]):
        if place not in found:
            continue
        at = found[place][1]
        if change["op"] == "truncate":
            behind = max((last[it] for it in last if it[0] == relation), default=(0, 0))
            emptied[relation] = at
        else:
            keys = [] if relation in WITHOUT_PRIMARY_KEY else [(relation, *it.values()) for it in (change["key"], change["old"]) if it]
            behind = max([emptied.get(relation, (0, 0))] + [last.get(it, (0, 0)) for it in keys])
            last |= dict.fromkeys(keys or [(relation,)], at)
        if at <= behind:
            differ(f"{relation}: {change['op']} of {change['key']} at {at} is out of order: behind {behind}")


def fold(found):
    """The tables that the changes lead to."""
    tables = {relation: {} for relation in KEYS}
    for relation, _, change in sorted(found.values(), key=lambda it: it[1]):
        table, op = tables[relation], change["op"]
        if op == "truncate":
            table.clear()
            continue
        at, before = tuple(change["key"].values()), tuple((change["old"] or change["key"]).values())
        if relation in WITHOUT_PRIMARY_KEY:
            # The whole row is the key, and there may be several.
            if op != "insert":
                table[before] = table.get(before, 0) - 1
            if op != "delete":
                table[at] = table.get(at, 0) + 1
            continue
        row = {} if op == "insert" else table.pop(before, {})
        if op != "delete":
            table[at] = row | change["after"]
    tables["events"] = {row: times for row, times in tables["events"].items() if times}
    return tables


def compare_tables(connection, found):
    rows, folded = 0, fold(found)
    for relation in KEYS:
        source = [image(row) for (row,) in connection.execute(f"select to_jsonb(it) from {relation} it").fetchall()]
        rows += len(source)
        if relation in WITHOUT_PRIMARY_KEY:
            source = dict(Counter(tuple(key(relation, row).values()) for row in source))
        else:
            source = {tuple(key(relation, row).values()): row for row in source}
        for at in source.keys() | folded[relation].keys():
            if source.get(at) != folded[relation].get(at):
                differ(f"{relation}: row {at}: {source.get(at)} in the source, {folded[relation].get(at)} in the files")
    return rows


changes, named, cuts = read_manifests()
glob_agrees(named)
found, commits = {}, {}
twice = [at for at, times in Counter(change[1] for change in changes).items() if times > 1]
if twice:
    differ(f"{len(twice)} positions came more than once, the first {min(twice)}")
for relation, at, xid, change in changes:
    if commits.setdefault(at[0], xid) != xid:
        differ(f"transactions {xid} and {commits[at[0]]} share the commit {at[0]}")
    if (xid, at[1]) in found and at not in twice:
        differ(f"{relation}: transaction {xid}, change {at[1]} came at two positions")
    found[xid, at[1]] = relation, at, change
with psycopg.connect(url) as connection:
    expected = expected_changes(connection)
    compare_changes(expected, found)
    compare_order(expected, found)
    rows = compare_tables(connection, found)
if differences:
    with open(f"{evidence}/differences.txt", "w") as file:
        file.writelines(f"{it}\n" for it in differences)
    with open(f"{evidence}/audit.txt", "w") as file:
        file.writelines(f"transaction {xid}, change {seq}: {change}\n" for (xid, seq), change in expected.items())
report = {"transactions": len(commits), "changes": len(expected), "rows": rows, "objects": len(named), "cuts": cuts}
print(json.dumps(report | {"different": len(differences), "differences": [it[:1000] for it in differences[:SHOWN]]}))
