"""Changes the tables from several sessions until standard input ends, then prints what it did.

workload.py URL SEED

Each session draws what it does from the seed; how the sessions interleave is the server's business. A lost connection
is made anew: whether the transaction that it had open was committed is known to the audit table alone, and that is
enough.
"""

import json
import random
import sys
import threading
import time

import psycopg

url, seed = sys.argv[1], sys.argv[2]
WRITERS = 3
# Rows from here on belong to the long transaction, which would otherwise make the others wait.
LONG = 1_000_000
stopping = threading.Event()
done = {"committed": 0, "rolled back": 0, "refused": 0, "lost connections": 0}
lock = threading.Lock()


def count(what):
    with lock:
        done[what] += 1


def body(salt):
    return f"(select string_agg(md5('{salt}' || i || part), '') from generate_series(1, 90) part)"


def change(dice):
    """One statement."""
    n, m, r = dice.randrange(100_000), dice.choice([5, 7, 11, 13, 40]), dice.randrange(5)
    first = dice.randrange(400)
    few = f"generate_series({first}, {first + dice.randrange(12)}) i"
    some = f"id % {m} = {r} and id < {LONG}"
    table = dice.choice(["documents", "pages"])
    statements = {
        f"insert into accounts select i, {n}, {n}.5, repeat('x', i % 40) from {few} on conflict do nothing": 8,
        f"update accounts set n = n + 1, note = case when n % 3 = 0 then null else 'n' || n end where {some}": 6,
        f"delete from accounts where {some}": 3,
        f"update accounts set id = {dice.randrange(400)} where id = {first}": 6,
        f"insert into documents select i, 'a', 'new {n}', {body(n)} from {few} on conflict do nothing": 3,
        f"insert into pages select i, 'new {n}', {body(n)} from {few} on conflict do nothing": 3,
        f"update {table} set title = 'only {n}' where {some}": 6,
        f"update {table} set body = (select string_agg(md5(title || part), '') from generate_series(1, 80) part) where {some}": 2,
        f"update {table} set body = 'short {n}' where id = {first}": 2,
        f"delete from {table} where {some}": 2,
        # The key changes, the body does not.
        f"update documents set part = case part when 'a' then 'b' else 'a' end where id = {first}": 4,
        f"update pages set id = {dice.randrange(400)} where id = {first}": 3,
        f"insert into scratch select i, 'scratch {n}' from {few} on conflict do nothing": 5,
        f"insert into events select {r}, 'event ' || i % 3 from {few}": 4,
        f"update events set note = 'changed {n}' where kind = {r} and note = 'event {n % 3}'": 3,
        f"delete from events where kind = {r} and note like 'changed %'": 2,
        "truncate scratch": 1,
        "truncate scratch, events": 1,
    }
    return dice.choices(list(statements), list(statements.values()))[0]


def large(dice):
    """Statements of a transaction that exceeds what the server decodes in memory many times over."""
    first, rows = dice.randrange(10_000, 500_000), dice.randrange(500, 2500)
    these = f"id between {first} and {first + rows}"
    return [
        f"insert into accounts select i, 0, null, repeat('large', i % 20) from generate_series({first}, {first + rows}) i"
        " on conflict do nothing",
        f"update accounts set n = n + 1 where {these} and id % 3 = 0",
        f"delete from accounts where {these} and id % 4 <> 0",
    ]


def transaction(connection, dice, name):
    run = connection.execute
    run("begin")
    if dice.randrange(60) == 0:
        for statement in large(dice):
            run(statement)
    for part in range(dice.choice([1, 1, 1, 2, 3, 8])):
        shape = dice.randrange(6)
        if shape == 0:
            run(f"savepoint outer_{part}; {change(dice)}; savepoint inner_{part}; {change(dice)}")
            run(f"rollback to {dice.choice(['outer', 'inner'])}_{part}")
        elif shape == 1:
            run(f"savepoint kept_{part}; {change(dice)}; release kept_{part}")
        run(change(dice))
    end = dice.randrange(30)
    if end < 2:
        run("rollback")
        return "rolled back"
    if end == 2:
        run(f"prepare transaction '{name}'")
        time.sleep(dice.random() / 50)
        run(f"commit prepared '{name}'")
    else:
        run("commit")
    return "committed"


def long_transaction(connection, dice, _name):
    """Stays open for seconds, across whatever happens to the flow."""
    run = connection.execute
    run("begin")
    for part in range(dice.randrange(5, 25)):
        first, n = LONG + dice.randrange(10**9), dice.randrange(1000)
        run(f"savepoint part_{part}")
        run(f"insert into journal select i, {part}, repeat('j', 50) from generate_series({first}, {first + 150}) i on conflict do nothing")
        run(f"insert into pages select i, 'long', {body(n)} from generate_series({first}, {first + 5}) i on conflict do nothing")
        run(f"update pages set title = 'longer {n}' where id between {first} and {first + 5}")
        run(f"delete from journal where id between {first} and {first + 50}")
        if dice.randrange(4) == 0:
            run(f"rollback to part_{part}")
        if stopping.wait(dice.random() / 4):
            break
    end = dice.choice(["commit", "commit", "commit", "rollback"])
    run(end)
    return "committed" if end == "commit" else "rolled back"


def connect(name):
    connection = psycopg.connect(url, autocommit=True, connect_timeout=5, options="-c lock_timeout=2s")
    # What was prepared on the connection before keeps its locks, also over a crash of the server.
    for (orphan,) in connection.execute("select gid from pg_prepared_xacts where gid = %s", [name]).fetchall():
        connection.execute(f"rollback prepared '{orphan}'")
    return connection


def session(name, work, pause):
    dice, connection = random.Random(f"{seed} {name}"), None
    while not stopping.is_set():
        try:
            if connection is None or connection.closed:
                connection = connect(name)
            count(work(connection, dice, name))
        except psycopg.Error:
            # A unique key taken, a lock waited for too long, a deadlock; or the server is gone.
            if connection is None or connection.closed:
                count("lost connections")
            else:
                count("refused")
                try:
                    connection.execute("rollback")
                except psycopg.Error:
                    connection.close()
        stopping.wait(dice.random() * pause)
    if connection is None or connection.closed:
        connect(name)


sessions = [threading.Thread(target=session, args=(f"writer {n}", transaction, 0.02)) for n in range(WRITERS)]
sessions.append(threading.Thread(target=session, args=("long", long_transaction, 0.2)))
for thread in sessions:
    thread.start()
sys.stdin.read()
stopping.set()
for thread in sessions:
    thread.join()
print(json.dumps(done))
