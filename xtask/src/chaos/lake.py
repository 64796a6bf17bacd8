"""Reads what a flow has delivered into files, as DuckDB and Python read it."""

import glob
import json
import os
from collections import Counter

import duckdb

from changes import change_of, differ, exact_json, position

# It would go to standard output.
duckdb.execute("set enable_progress_bar = false")


def records(path):
    if path.endswith(".parquet"):
        # Without the commit time, for which Python would need a time zone database.
        wanted = "columns(lambda name: name not in ('_commit_time', 'commit_time'))"
        rows = duckdb.execute(f"select {wanted} from read_parquet(?, hive_partitioning = false)", [path])
        names = [column[0] for column in rows.description]
        return [dict(zip(names, row)) for row in rows.fetchall()]
    with open(path) as lines:
        return [exact_json(line) for line in lines]


def read(lake, entry):
    """The changes of one object of a manifest, which has to tell the truth about it."""
    path, relation = os.path.join(lake, entry["path"]), entry["table"]["name"]
    if not os.path.exists(path):
        differ(f"{entry['path']} is in a manifest and not there")
        return []
    if os.path.getsize(path) != entry["bytes"]:
        differ(f"{entry['path']} has {os.path.getsize(path)} bytes, {entry['bytes']} in its manifest")
        return []
    rows = records(path)
    changes = [(relation, *change_of(relation, row)) for row in rows]
    at = [change[1] for change in changes]
    bounds = [position(entry["first"]), position(entry["last"])]
    if at != sorted(at) or not at or [at[0], at[-1]] != bounds or len(at) != entry["rows"]:
        differ(f"{entry['path']} is not in order, or its manifest is wrong about its rows")
    return changes


def read_manifests(lake):
    changes, named, previous = [], [], None
    cuts = sorted(glob.glob(f"{lake}/_cuts/*.json"))
    for cut in cuts:
        with open(cut) as file:
            manifest = json.load(file)
        if manifest["previous"] != previous or previous not in (None, manifest["from"]):
            differ(f"{cut}: goes on at {manifest['previous']} and {manifest['from']}, the cut before is {previous}")
        previous = manifest["position"]
        found = [change for entry in manifest["objects"] for change in read(lake, entry)]
        outside = [it for it in found if not position(manifest["from"]) <= it[1] < position(manifest["position"])]
        if outside:
            differ(f"{cut}: holds changes that do not belong to this cut, the first at {outside[0][1]}")
        named += [entry["path"] for entry in manifest["objects"]]
        changes += found
    return changes, named, len(cuts)


def glob_agrees(lake, named):
    """A plain glob finds what the manifests name, each object once, and nothing is left lying about."""
    files = {os.path.relpath(path, lake) for path in glob.glob(f"{lake}/**", recursive=True) if os.path.isfile(path)}
    for path in {path for path in files if not path.startswith("_cuts/")} - set(named):
        differ(f"{path} is there, and no manifest names it")
    for path, times in Counter(named).items():
        if times > 1:
            differ(f"{path} is named {times} times in manifests")


def read_lake(lake):
    """The changes in all files, and figures for the report."""
    changes, named, cuts = read_manifests(lake)
    glob_agrees(lake, named)
    twice = [at for at, times in Counter(change[1] for change in changes).items() if times > 1]
    if twice:
        differ(f"{len(twice)} positions came more than once, the first {min(twice)}")
    return changes, {"objects": len(named), "cuts": cuts}
