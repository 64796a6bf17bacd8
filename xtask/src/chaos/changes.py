"""Changes as the comparison has them, however they were delivered, and the differences that it found."""

import functools
import hashlib
import json

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
differences = []
exact_json = functools.partial(json.loads, parse_float=str)


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


def lsn(text_or_number):
    if isinstance(text_or_number, int):
        return text_or_number
    high, low = text_or_number.split("/")
    return int(high, 16) << 32 | int(low, 16)


def position(document):
    return lsn(document["commit_lsn"]), document["seq"]


def change_of(relation, row):
    """Position, transaction and change of a record in either envelope."""
    return (from_flat if "_op" in row else from_native)(relation, row)


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
