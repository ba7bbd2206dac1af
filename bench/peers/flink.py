#!/usr/bin/env python3
"""Flink SQL over the events of peers_bench: one cluster's life.

usage: flink.py EVENTS WORK RESULT --flink FOLDER --query NAME [--parallelism N] [--rows FILE [--rows-only]]
       flink.py EVENTS WORK RESULT --flink FOLDER --first-result

A JobManager and a TaskManager are started on free ports with their files in WORK, and ended. The
query runs in streaming mode over Debezium's JSON in files, whose end ends the job, into a sink that
throws its rows away: first on the fresh cluster, then again. With --rows it runs once more, printing
every change; what is left when they are added up goes into the file, a row a line, columns divided
by '|'. --first-result measures from nothing until the first row of a group is printed.

RESULT gets JSON: CPU seconds of both servers from their start (first) and of the second run, that of
the TaskManager alone and of the SQL client, which counts for neither; the job's seconds; the peak of
resident memory of both servers.
"""
import argparse
import collections
import datetime
import json
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import processes

JOB_SECONDS_MAX = 900
MEMORY = {"jobmanager": "1600m", "taskmanager": "3g"}  # the first is what Flink comes with
COLUMNS = """id BIGINT, account_id BIGINT, amount DECIMAL(12, 2), note STRING,
  created_at TIMESTAMP_LTZ(3)"""
# The columns of the result, then the query.
QUERIES = {
    "filter": ("id BIGINT, account_id BIGINT, amount DECIMAL(12, 2)",
               "SELECT id, account_id, amount FROM transfers WHERE amount > 900"),
    "group": ("account_id BIGINT, n BIGINT, total DECIMAL(38, 2)",
              "SELECT account_id, COUNT(*), SUM(amount) FROM transfers GROUP BY account_id"),
    "join_group": ("region STRING, n BIGINT, total DECIMAL(38, 2)",
                   "SELECT a.region, COUNT(*), SUM(t.amount) FROM transfers AS t "
                   "JOIN accounts AS a ON t.account_id = a.id GROUP BY a.region"),
    # Over a source with updates Flink's windows drop what comes late; this does not.
    "window": ("window_start TIMESTAMP_LTZ(3), n BIGINT, total DECIMAL(38, 2)",
               "SELECT FLOOR(created_at TO MINUTE), COUNT(*), SUM(amount) FROM transfers "
               "GROUP BY FLOOR(created_at TO MINUTE)"),
    "tumble": ("window_start TIMESTAMP(3), n BIGINT, total DECIMAL(38, 2)",
               "SELECT window_start, COUNT(*), SUM(amount) FROM TABLE(TUMBLE(TABLE timed, "
               "DESCRIPTOR(created_at), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end"),
    "top_k": ("account_id BIGINT, id BIGINT, amount DECIMAL(12, 2)",
              "SELECT account_id, id, amount FROM (SELECT account_id, id, amount, ROW_NUMBER() OVER "
              "(PARTITION BY account_id ORDER BY amount DESC, id) AS place FROM transfers) "
              "WHERE place <= 3"),
}


def source(name, columns, folder):
    return f"""CREATE TABLE {name} ({columns}) WITH ('connector' = 'filesystem',
  'path' = '{folder.resolve().as_uri()}', 'format' = 'debezium-json',
  'debezium-json.timestamp-format.standard' = 'ISO-8601');"""


def statements(events, query, sink, parallelism):
    columns, select = QUERIES[query]
    transfers = f"{COLUMNS}, PRIMARY KEY (id) NOT ENFORCED"
    watermark = "WATERMARK FOR created_at AS created_at - INTERVAL '1' SECOND"
    return "\n".join([
        "SET 'execution.runtime-mode' = 'streaming';",
        f"SET 'parallelism.default' = '{parallelism}';",
        "SET 'table.dml-sync' = 'true';",
        "SET 'table.local-time-zone' = 'UTC';",
        source("transfers", transfers, events / "transfers"),
        source("timed", f"{transfers}, {watermark}", events / "transfers"),
        source("accounts", "id BIGINT, region STRING, PRIMARY KEY (id) NOT ENFORCED",
               events / "accounts"),
        f"CREATE TABLE answer ({columns}) WITH ('connector' = '{sink}');",
        f"INSERT INTO answer {select};",
    ]) + "\n"


class Cluster:
    def __init__(self, flink, work, parallelism):
        self.flink, self.work, self.parallelism = flink, work, parallelism
        self.url = f"http://127.0.0.1:{processes.free_port()}"
        self.printed = work / "taskmanager.out"
        configuration = work / "conf"
        shutil.rmtree(work, ignore_errors=True)
        configuration.mkdir(parents=True)
        (work / "tmp").mkdir()
        self.configure(configuration)
        self.environment = {"FLINK_CONF_DIR": str(configuration), "FLINK_LOG_DIR": str(work),
                            "FLINK_PID_DIR": str(work), "FLINK_IDENT_STRING": "bench"}
        self.servers = {}
        try:
            for name in ("jobmanager", "taskmanager"):
                self.servers[name] = processes.start(
                    [flink / "bin" / f"{name}.sh", "start-foreground"], work / f"{name}.out",
                    self.environment)
            processes.wait_until(self.has_slots, 120, "Flink's servers")
        except BaseException:
            self.close()
            raise

    def configure(self, folder):
        # The modules that Java must open for Flink stand in what it comes with.
        shipped = (self.flink / "conf" / "config.yaml").read_text()
        java = re.search(r"^ *all: *(--add-.*)$", shipped, re.M).group(1)
        rpc = processes.free_port()
        (folder / "config.yaml").write_text("\n".join([
            f"env.java.opts.all: {java}", "jobmanager.rpc.address: localhost",
            "jobmanager.bind-host: localhost", f"jobmanager.rpc.port: {rpc}",
            f"jobmanager.memory.process.size: {MEMORY['jobmanager']}",
            "taskmanager.bind-host: localhost", "taskmanager.host: localhost",
            f"taskmanager.memory.process.size: {MEMORY['taskmanager']}",
            f"taskmanager.numberOfTaskSlots: {self.parallelism}",
            f"parallelism.default: {self.parallelism}", "rest.address: localhost",
            "rest.bind-address: localhost", f"rest.port: {self.url.rpartition(':')[2]}",
            f"io.tmp.dirs: {self.work / 'tmp'}", ""]))
        log = "\n".join([
            "rootLogger.level = WARN", "rootLogger.appenderRef.file.ref = File",
            "appender.file.name = File", "appender.file.type = FILE",
            "appender.file.fileName = ${sys:log.file}", "appender.file.layout.type = PatternLayout",
            "appender.file.layout.pattern = %d %p %c %m%n", ""])
        for name in ("log4j.properties", "log4j-console.properties", "log4j-cli.properties"):
            (folder / name).write_text(log)

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def has_slots(self):
        for name, server in self.servers.items():
            if server.poll() is not None:
                raise RuntimeError(f"Flink's {name} ended: see {self.work}")
        try:
            return self.get("/overview")["slots-available"] >= self.parallelism
        except (urllib.error.URLError, OSError, KeyError):
            return False

    def cpu_seconds(self):
        return {name: processes.cpu_seconds(server.pid) for name, server in self.servers.items()}

    def memory_mb(self):
        return sum(processes.peak_memory_mb(server.pid) for server in self.servers.values())

    def client(self, text):
        """The SQL client's command line for these statements."""
        file = self.work / "job.sql"
        file.write_text(text)
        return [self.flink / "bin" / "sql-client.sh", "-hist", self.work / "history", "-f", file]

    def run(self, text):
        """Runs the statements to their end: the job's seconds, the client's CPU seconds."""
        log = self.work / "client.out"
        log.write_bytes(b"")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        code = processes.start(self.client(text), log, self.environment).wait(JOB_SECONDS_MAX)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = log.read_text(errors="replace")
        jobs = sorted(self.get("/jobs/overview")["jobs"], key=lambda job: job["start-time"])
        # The client ends well also when a statement has failed.
        if code != 0 or "[ERROR]" in said or not jobs or jobs[-1]["state"] != "FINISHED":
            raise RuntimeError(f"Flink's job failed: {said[-3000:]}")
        client = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return jobs[-1]["duration"] / 1000, client

    def close(self):
        for server in reversed(self.servers.values()):
            processes.stop(server)


def measure(cluster, text, begin):
    before = cluster.cpu_seconds() if begin is None else {"jobmanager": 0, "taskmanager": 0}
    started = time.monotonic() if begin is None else begin
    seconds, client = cluster.run(text)
    used = {name: value - before[name] for name, value in cluster.cpu_seconds().items()}
    return {"cpu_seconds": sum(used.values()), "worker_cpu_seconds": used["taskmanager"],
            "client_cpu_seconds": client, "seconds": seconds,
            "wall_seconds": time.monotonic() - started}


def plain(value):
    """A printed value as the others write it: a time as seconds since 1970."""
    if re.match(r"\d{4}-\d\d-\d\dT", value):
        time_ = datetime.datetime.fromisoformat(value)
        if time_.tzinfo is None:
            time_ = time_.replace(tzinfo=datetime.timezone.utc)
        return str(int(time_.timestamp()))
    return value


def fold(printed):
    """The rows that are left of the printed changes."""
    rows = collections.Counter()
    for line in printed:
        change = re.search(r"(?:^|> )([+-])[IUD]\[(.*)\]$", line.rstrip("\n"))
        if change:
            rows[change.group(2)] += 1 if change.group(1) == "+" else -1
    for row, count in rows.items():
        # A row that went more often than it came is wrong, too, and must not vanish.
        for _ in range(abs(count)):
            text = "|".join(plain(value) for value in row.split(", "))
            yield text if count > 0 else f"taken back: {text}"


def write_rows(cluster, events, query, file):
    cluster.run(statements(events, query, "print", cluster.parallelism))
    with open(cluster.printed, encoding="utf-8", errors="replace") as printed:
        file.write_text("".join(f"{row}\n" for row in fold(printed)))


def first_result(arguments, work):
    begin = time.monotonic()
    cluster = Cluster(arguments.flink, work, arguments.parallelism)
    client = None
    try:
        text = statements(arguments.events, "group", "print", arguments.parallelism)
        client = processes.start(cluster.client(text), work / "client.out", cluster.environment)
        processes.wait_until(
            lambda: re.search(r"[+-][IUD]\[", cluster.printed.read_text(errors="replace")), 120,
            "Flink's first row", 0.005)
        return {"seconds": time.monotonic() - begin}
    finally:
        if client is not None:
            processes.stop(client)
        cluster.close()


def runs(arguments, work):
    begin = time.monotonic()
    cluster = Cluster(arguments.flink, work, arguments.parallelism)
    try:
        out = {}
        if not arguments.rows_only:
            text = statements(arguments.events, arguments.query, "blackhole", arguments.parallelism)
            out = {"first": measure(cluster, text, begin), "second": measure(cluster, text, None)}
            out["memory_mb"] = cluster.memory_mb()
        if arguments.rows:
            write_rows(cluster, arguments.events, arguments.query, arguments.rows)
        return out
    finally:
        cluster.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("result", type=pathlib.Path)
    parser.add_argument("--flink", type=pathlib.Path, required=True)
    parser.add_argument("--query", choices=[*QUERIES], default="group")
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--rows", type=pathlib.Path)
    parser.add_argument("--rows-only", action="store_true", help="measure nothing")
    parser.add_argument("--first-result", action="store_true")
    arguments = parser.parse_args()
    arguments.flink = arguments.flink.resolve()
    work = arguments.work.resolve()
    try:
        found = (first_result if arguments.first_result else runs)(arguments, work)
    except (RuntimeError, TimeoutError, subprocess.TimeoutExpired) as failure:
        print(f"flink.py: {failure}", file=sys.stderr)
        return 1
    arguments.result.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
