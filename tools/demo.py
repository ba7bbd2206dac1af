#!/usr/bin/env python3
"""Shows pgweir at work on a PostgreSQL of its own; leaves nothing behind.

usage: demo.py PROGRAM [--check]

Makes a private PostgreSQL in a scratch folder, fills it with the payments workload, runs pgweir on it
with live views, Parquet files and the dashboard, and goes on writing until Ctrl-C. With --check it
writes for a while, waits until pgweir has everything, compares every view with PostgreSQL's own
answer, the Parquet files with the activity counts and the tables, and asks for the page; prints
"demo: ok", or what differs.
"""
import argparse
import ctypes
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
START_S = 60  # for a server to become ready
CATCH_UP_S = 90
CHECK_WRITES_S = 10
ROLL_S = 2  # how long Parquet files stay open
MINUTE = "date_bin('1 minute', created_at, timestamptz '2000-01-01 00:00:00+00')"

# Name of each view, its SQL, how its rows are made texts in DuckDB, and PostgreSQL's same rows.
VIEWS = [
    ("balance",
     "SELECT account_id, sum(amount) AS balance FROM entries GROUP BY 1",
     "account_id, balance",
     "SELECT account_id, sum(amount) FROM entries GROUP BY 1"),
    ("total",
     "SELECT sum(balance) AS total FROM balance",
     "total",
     "SELECT sum(balance) FROM (SELECT sum(amount) AS balance FROM entries GROUP BY account_id) b"),
    ("per_minute",
     "SELECT window_start, count(*) AS transfers, sum(amount) AS volume "
     "FROM tumble(transfers, created_at, INTERVAL 1 MINUTE) GROUP BY window_start",
     "CAST(epoch(window_start) AS BIGINT), transfers, volume",
     f"SELECT extract(epoch FROM {MINUTE})::bigint, count(*), sum(amount) FROM transfers "
     f"GROUP BY {MINUTE}"),
    ("big_transfers",
     "SELECT id, from_account, to_account, amount FROM transfers WHERE amount >= 4500",
     "id, from_account, to_account, amount",
     "SELECT id, from_account, to_account, amount FROM transfers WHERE amount >= 4500"),
    ("by_region",
     "SELECT a.region, count(*) AS transfers, sum(t.amount) AS volume "
     "FROM transfers t JOIN accounts a ON a.id = t.from_account GROUP BY a.region",
     "region, transfers, volume",
     "SELECT a.region, count(*), sum(t.amount) FROM transfers t "
     "JOIN accounts a ON a.id = t.from_account GROUP BY a.region"),
]
# Views of these shapes must not be computed anew.
DELTA_VIEWS = {name for name, *_ in VIEWS}


class DemoError(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def die_with_parent():
    """In a child: the kernel ends it when the demo is killed without a chance to clean up."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def until(what, done, child, log, seconds=START_S):
    end = time.monotonic() + seconds
    while not done():
        ended = child.poll() is not None
        if ended or time.monotonic() > end:
            words = pathlib.Path(log).read_text(errors="replace")[-4000:]
            raise DemoError(f"{what} {'ended' if ended else 'was not ready in time'}:\n{words}")
        time.sleep(0.05)


class Children:
    """Programs that run beside the demo, in sessions of their own: Ctrl-C reaches the demo alone,
    which ends them in the right order."""

    def __init__(self, scratch):
        self.scratch, self.running = scratch, []

    def start(self, name, command, stop_signal, **options):
        log = self.scratch / f"{name}.log"
        with open(log, "ab") as output:
            child = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                                     stdout=output, stderr=output, start_new_session=True,
                                     preexec_fn=die_with_parent, **options)
        self.running.append((child, stop_signal))
        return child, log

    def stop(self, child):
        for entry in [entry for entry in self.running if entry[0] is child]:
            self.running.remove(entry)
            if child.poll() is None:
                child.send_signal(entry[1])
            try:
                return child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        return child.returncode

    def stop_all(self):
        for child, _ in reversed(list(self.running)):
            self.stop(child)


# --- PostgreSQL ------------------------------------------------------------------------------------

class Postgres:
    def __init__(self, children, scratch):
        binaries = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"),
                          key=lambda path: int(path.parts[-3]))
        if not binaries:
            raise DemoError("no PostgreSQL server is installed: run tools/setup.sh server")
        self.bin = binaries[-1].parent
        data = scratch / "postgres"
        data.mkdir()
        # PostgreSQL refuses to run as root; the user of its package can.
        user = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(data, account.pw_uid, account.pw_gid)
            scratch.chmod(0o755)
        made = subprocess.run([self.bin / "initdb", "-D", data, "-U", "postgres", "-A", "trust",
                               "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"], cwd="/",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **user)
        if made.returncode != 0:
            raise DemoError("initdb failed:\n" + made.stdout)
        port = free_port()
        settings = {"wal_level": "logical", "fsync": "off", "listen_addresses": "127.0.0.1",
                    "unix_socket_directories": data, "max_replication_slots": 10}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        server, log = children.start("postgres", [self.bin / "postgres", "-D", data, "-p", port]
                                     + arguments, signal.SIGINT, cwd="/", **user)
        pid = data / "postmaster.pid"
        until("PostgreSQL", lambda: pid.exists() and "ready" in pid.read_text(), server, log)
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def rows(self, sql):
        done = subprocess.run([self.bin / "psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                               "-d", self.url, "-c", sql], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise DemoError(f"psql: {done.stderr}")
        return [tuple(line.split("\t")) for line in done.stdout.splitlines()]


# --- pgweir ----------------------------------------------------------------------------------------

class Pgweir:
    def __init__(self, program, children, scratch, database):
        self.program = pathlib.Path(program).resolve()
        self.lake = scratch / "lake"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.database = database
        config = scratch / "pgweir.yaml"
        config.write_text(self.configuration(scratch))
        self.process, self.log = children.start(
            "pgweir", [self.program, "-c", config, "run"], signal.SIGTERM)
        until("pgweir", self.ready, self.process, self.log)

    def configuration(self, scratch):
        text = f"""source:
  url: {self.database}
  name: bank
  tables: [public.*]
data: {scratch}/data
views:
"""
        for name, sql, _, _ in VIEWS:
            text += f"  {name}: {json.dumps(sql)}\n"
        return text + f"""sinks:
  lake: {{type: parquet, path: "{self.lake}", roll: {{every: {ROLL_S}s, size: 128MiB}}}}
server: {{listen: "{self.url.removeprefix('http://')}"}}
"""

    def fetch(self, path, body=None):
        request = urllib.request.Request(self.url + path)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read(), answer.headers
        except urllib.error.HTTPError as failure:
            raise DemoError(f"{path}: {failure.code} {failure.read().decode(errors='replace')}")
        except OSError as failure:
            raise DemoError(f"{path}: {failure}")

    def json(self, path, body=None):
        return json.loads(self.fetch(path, body)[0])

    def ready(self):
        try:
            return self.fetch("/readyz")[1] is not None
        except DemoError:
            return False

    def rows(self, select):
        answer = self.json("/api/v1/sql", {"sql": select, "limit": 100_000, "timeout_ms": 30_000})
        if answer["truncated"]:
            raise DemoError(f"more rows than fit into an answer: {select}")
        return [tuple(row) for row in answer["rows"]]

    def followers(self):
        return self.json("/api/v1/status")["followers"]


def generate(program, database, *options):
    return [program, "--quiet", "generate", "payments", "--url", database, *options]


# --- Parquet files, read with the DuckDB that stands beside the program ------------------------------

class DuckDb:
    class Answer(ctypes.Structure):
        _fields_ = [("columns", ctypes.c_uint64), ("rows", ctypes.c_uint64),
                    ("changed", ctypes.c_uint64), ("data", ctypes.c_void_p),
                    ("message", ctypes.c_char_p), ("internal", ctypes.c_void_p)]

    def __init__(self, folder):
        self.library = library = ctypes.CDLL(str(folder / "libduckdb.so"))
        library.duckdb_row_count.restype = library.duckdb_column_count.restype = ctypes.c_uint64
        library.duckdb_result_error.restype = ctypes.c_char_p
        library.duckdb_value_varchar.restype = ctypes.c_void_p
        library.duckdb_value_varchar.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
        self.database, self.connection = ctypes.c_void_p(), ctypes.c_void_p()
        library.duckdb_open(None, ctypes.byref(self.database))
        library.duckdb_connect(self.database, ctypes.byref(self.connection))

    def rows(self, sql):
        answer, library = self.Answer(), self.library
        state = library.duckdb_query(self.connection, sql.encode(), ctypes.byref(answer))
        try:
            if state != 0:
                message = library.duckdb_result_error(ctypes.byref(answer)).decode()
                raise DemoError(f"DuckDB: {message}")
            columns = range(library.duckdb_column_count(ctypes.byref(answer)))
            return [tuple(self.text(answer, column, row) for column in columns)
                    for row in range(library.duckdb_row_count(ctypes.byref(answer)))]
        finally:
            library.duckdb_destroy_result(ctypes.byref(answer))

    def text(self, answer, column, row):
        value = self.library.duckdb_value_varchar(ctypes.byref(answer), column, row)
        if not value:
            return ""
        text = ctypes.string_at(value).decode()
        self.library.duckdb_free(ctypes.c_void_p(value))
        return text


# --- The check -------------------------------------------------------------------------------------

def lsn_number(text):
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def wait_for_everything(postgres, pgweir):
    target = postgres.rows("SELECT pg_current_wal_lsn()")[0][0]
    end = time.monotonic() + CATCH_UP_S
    behind = []
    while time.monotonic() < end:
        if pgweir.process.poll() is not None:
            raise DemoError("pgweir has ended")
        followers = pgweir.followers()
        broken = [one for one in followers if one["error"]]
        if broken:
            raise DemoError(f"{broken[0]['name']} has failed: {broken[0]['error']}")
        behind = [one for one in followers
                  if one["position"] is None or lsn_number(one["position"]) < lsn_number(target)]
        if followers and not behind:
            return target
        time.sleep(0.1)
    names = ", ".join(f"{one['name']} at {one['position']}" for one in behind)
    raise DemoError(f"after {CATCH_UP_S} s pgweir has not reached {target}: {names}")


def compare(what, ours, theirs):
    """One difference as a line, or nothing."""
    ours = sorted(tuple("" if value is None else str(value) for value in row) for row in ours)
    theirs = sorted(theirs)
    if not theirs:
        return [f"{what}: there is nothing to compare"]
    if ours == theirs:
        print(f"  {what}: {len(ours)} rows, equal")
        return []
    missing = [row for row in theirs if row not in set(ours)][:3]
    extra = [row for row in ours if row not in set(theirs)][:3]
    return [f"{what} differs: {len(ours)} rows, expected {len(theirs)}; "
            f"missing {missing}, too many {extra}"]


def check_views(postgres, pgweir):
    faults = []
    strategies = {view["name"]: view["strategy"] for view in pgweir.json("/api/v1/views")["views"]}
    for name, _, texts, sql in VIEWS:
        faults += compare(f"view {name}", pgweir.rows(f"SELECT {texts} FROM {name}"),
                          postgres.rows(sql))
        if name in DELTA_VIEWS and strategies.get(name) != "delta":
            faults.append(f"view {name} has the strategy {strategies.get(name)}, not delta")
    return faults


def check_parquet(postgres, pgweir, duckdb):
    files = f"'{pgweir.lake}/table=public.*/*/*.parquet'"
    source = f"read_parquet({files}, hive_partitioning = true, union_by_name = true)"
    letters = {"insert": "i", "update": "u", "delete": "d", "truncate": "t", "read": "r"}
    counted = pgweir.rows('SELECT "schema" || \'.\' || "table", op, CAST(sum(changes) AS BIGINT) '
                          "FROM pgweir.activity GROUP BY ALL")
    activity = [(table, letters.get(op, op), str(count)) for table, op, count in counted]
    faults = compare("Parquet events by table and operation",
                     duckdb.rows(f'SELECT "table", op, count(*) FROM {source} GROUP BY ALL'), activity)
    again = duckdb.rows(f'SELECT count(*) - count(DISTINCT ("table", epoch, lsn, sequence)) '
                        f"FROM {source} WHERE op <> 't'")
    if again != [("0",)]:
        faults.append(f"{again[0][0]} events are in the Parquet files more than once")
    for table, columns in (("accounts", "id, owner, region, balance"),
                           ("transfers", "id, from_account, to_account, amount, status"),
                           ("entries", "id, transfer_id, account_id, amount")):
        state = (f"SELECT {columns} FROM (FROM read_parquet('{pgweir.lake}/table=public.{table}/*/*."
                 "parquet', union_by_name = true) QUALIFY row_number() OVER (PARTITION BY id "
                 "ORDER BY epoch DESC, lsn DESC, sequence DESC) = 1) WHERE op <> 'd'")
        faults += compare(f"table {table} out of its Parquet events", duckdb.rows(state),
                          postgres.rows(f"SELECT {columns} FROM {table}"))
    return faults


def check_page(pgweir):
    page, headers = pgweir.fetch("/")
    scripts = re.findall(r'<script[^>]+src="([^"]+)"', page.decode())
    if not headers["Content-Type"].startswith("text/html") or not scripts:
        return ["/ is not the dashboard's page"]
    size = 0
    for script in scripts:
        code, headers = pgweir.fetch("/" + script.removeprefix(".").removeprefix("/"))
        if "javascript" not in headers["Content-Type"] or not code:
            return [f"{script} is not a script of the dashboard"]
        size += len(code)
    print(f"  the page and its {len(scripts)} scripts, {size} bytes, are served")
    return []


def check(postgres, pgweir, children, generator):
    print(f"writing for {CHECK_WRITES_S} s ...", flush=True)
    time.sleep(CHECK_WRITES_S)
    if generator.poll() is not None:
        raise DemoError("the generator has ended by itself")
    children.stop(generator)
    target = wait_for_everything(postgres, pgweir)
    print(f"pgweir has everything up to {target}", flush=True)
    faults = check_views(postgres, pgweir)
    faults += check_parquet(postgres, pgweir, DuckDb(pgweir.program.parent))
    return faults + check_page(pgweir)


# --- The show --------------------------------------------------------------------------------------

def show(pgweir, generator):
    print(f"""
  The dashboard      {pgweir.url}/
  Views, live        {pgweir.url}/?page=views&view=balance
  What changes       {pgweir.url}/?page=activity
  In the terminal    {pgweir.program} --server {pgweir.url} sql "SELECT * FROM total"
                     {pgweir.program} --server {pgweir.url} tail
  The database       psql {pgweir.database}
  Parquet files      {pgweir.lake}

  The bank's total, a view over a view, reads 0.00 at every moment.
  Ctrl-C ends everything and removes what it made.
""", flush=True)
    while generator.poll() is None and pgweir.process.poll() is None:
        time.sleep(0.2)
    raise DemoError("a program has ended by itself")


def demo(arguments, scratch, children):
    program = pathlib.Path(arguments.program).resolve()
    print("starting a private PostgreSQL ...", flush=True)
    postgres = Postgres(children, scratch)
    subprocess.run(generate(program, postgres.url, "--init-only"), check=True,
                   stdout=subprocess.DEVNULL)
    print("starting pgweir ...", flush=True)
    pgweir = Pgweir(program, children, scratch, postgres.url)
    generator, _ = children.start(
        "generator",
        generate(program, postgres.url, "--rate", "300", "--updates", "0.2", "--deletes", "0.05",
                 "--large-transaction", "2000", "--large-every", "1500", "--real-time"),
        signal.SIGTERM)
    if not arguments.check:
        show(pgweir, generator)
    faults = check(postgres, pgweir, children, generator)
    code = children.stop(pgweir.process)
    if code != 0:
        faults.append(f"pgweir ended with {code} at SIGTERM")
    return faults


def stopped(*_):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stopped)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pgweir-demo-"))
    children = Children(scratch)
    faults = []
    try:
        faults = demo(arguments, scratch, children)
    except KeyboardInterrupt:
        print("\nstopping ...", flush=True)
    except (DemoError, subprocess.CalledProcessError) as failure:
        log = scratch / "pgweir.log"
        words = log.read_text(errors="replace")[-3000:] if log.exists() else ""
        faults = [str(failure)] + ([f"pgweir's last words:\n{words}"] if words else [])
    finally:
        # A second Ctrl-C must not leave a server behind.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        children.stop_all()
        shutil.rmtree(scratch, ignore_errors=True)
    for fault in faults:
        print(f"demo: {fault}", file=sys.stderr)
    if arguments.check and not faults:
        print("demo: ok")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
