"""Answers DuckDB queries: reads a list of them as JSON from standard input, prints the list of their rows."""

import json
import sys

import duckdb

connection = duckdb.connect()
connection.execute("set timezone = 'UTC'")
# It would go to standard output.
connection.execute("set enable_progress_bar = false")
json.dump([connection.execute(query).fetchall() for query in json.load(sys.stdin)], sys.stdout)
