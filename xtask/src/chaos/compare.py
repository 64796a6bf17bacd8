"""Compares a source with what a flow that has drained it has delivered, and prints what it found as JSON.

compare.py URL EVIDENCE LAKE
compare.py URL EVIDENCE BROKERS PREFIX exactly_once|at_least_once tombstones|no_tombstones

The audit table says what was committed: per transaction the changes in order, with the values before and after. What
was delivered has to be exactly that, under the same places in the same transactions; in commit order per key; and
folded, it has to give the source's tables. It is read by DuckDB, Confluent's client and Python, and by nothing of the
product's. Where something differs, the directory EVIDENCE gets all differences and the audit.
"""

import json
import sys
from collections import Counter

import psycopg
import psycopg.types.json

from changes import FULL_IDENTITY, KEYS, WITHOUT_PRIMARY_KEY, differ, differences, exact_json, image, key

url, evidence, *places = sys.argv[1:]
SHOWN = 20
psycopg.types.json.set_json_loads(exact_json)


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
                differ(f"{relation}: row {at}: {source.get(at)} in the source, {folded[relation].get(at)} delivered")
    return rows


if len(places) == 1:
    # Only one of them is needed, and only one is imported: DuckDB takes its time.
    from lake import read_lake as read
else:
    from topics import read_topics as read
changes, figures = read(*places)
found, commits = {}, {}
for relation, at, xid, change in changes:
    if commits.setdefault(at[0], xid) != xid:
        differ(f"transactions {xid} and {commits[at[0]]} share the commit {at[0]}")
    if (xid, at[1]) in found and found[xid, at[1]][1] != at:
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
report = {"transactions": len(commits), "changes": len(expected), "rows": rows} | figures
print(json.dumps(report | {"different": len(differences), "differences": [it[:1000] for it in differences[:SHOWN]]}))
