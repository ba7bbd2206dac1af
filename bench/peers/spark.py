#!/usr/bin/env python3
"""Spark structured streaming over the events of peers_bench: one session's life.

usage: spark.py EVENTS WORK RESULT --query NAME [--parallelism N] [--rows FILE]
       spark.py EVENTS WORK RESULT --first-result

To be run by the Python that has pyspark. Spark takes updates and deletes of a source only as rows
that the query must count for itself: each event is taken apart into its new row, of weight 1, and its
old one, of weight -1. Counts and sums by weight are right then; a filter gives a list of changes, not
rows; a join under a group and the best rows of a group cannot be said, and RESULT gets Spark's own
words. A query runs over all files as one batch into a sink that throws its rows away: first in the
fresh session, then again. With --rows it runs once more, and its rows (a filter's added up) go into
the file, a row a line, columns divided by '|'.

RESULT gets JSON: CPU seconds of this process and its Java one, from their start (first) and of the
second run; seconds; the peak of resident memory of both. --first-result measures from nothing until
the first batch, a group over the events there, is done.
"""
import argparse
import collections
import csv
import json
import os
import pathlib
import shutil
import sys
import time

import processes

BEGIN = time.monotonic() - time.process_time()
RUN_SECONDS_MAX = 900
ROW = "STRUCT<id: BIGINT, account_id: BIGINT, amount: DECIMAL(12, 2), created_at: TIMESTAMP>"
ACCOUNT = "STRUCT<id: BIGINT, region: STRING>"
# The mode of output, then the query over changes with their weight.
QUERIES = {
    "filter": ("append", "SELECT weight, id, account_id, amount FROM transfers WHERE amount > 900"),
    "group": ("update", "SELECT account_id, sum(weight) AS n, sum(weight * amount) AS total "
                        "FROM transfers GROUP BY account_id"),
    "join_group": ("update", "SELECT region, sum(t.weight * a.weight) AS n, "
                             "sum(t.weight * a.weight * amount) AS total FROM transfers AS t "
                             "JOIN accounts AS a ON t.account_id = a.id GROUP BY region"),
    "window": ("update", "SELECT unix_timestamp(window.start) AS window_start, n, total FROM "
                         "(SELECT window(created_at, '1 minute') AS window, sum(weight) AS n, "
                         "sum(weight * amount) AS total FROM transfers "
                         "GROUP BY window(created_at, '1 minute'))"),
    "top_k": ("update", "SELECT account_id, id, amount FROM (SELECT *, row_number() OVER "
                        "(PARTITION BY account_id ORDER BY amount DESC, id) AS place "
                        "FROM transfers) WHERE place <= 3"),
}


def open_session(work, parallelism):
    from pyspark.sql import SparkSession
    return (SparkSession.builder.master(f"local[{parallelism}]").appName("peers_bench")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
            .config("spark.local.dir", str(work / "tmp"))
            .config("spark.sql.warehouse.dir", str(work / "warehouse"))
            .config("spark.sql.session.timeZone", "UTC")
            # Two hundred by default, which would cost it much more.
            .config("spark.sql.shuffle.partitions", parallelism)
            .getOrCreate())


class Session:
    def __init__(self, work, parallelism):
        shutil.rmtree(work, ignore_errors=True)
        (work / "tmp").mkdir(parents=True)
        # Its scripts would else look for settings, and Ivy for a cache, in the user's home.
        os.environ["SPARK_CONF_DIR"] = str(work)
        (work / "log4j2.properties").write_text(
            "rootLogger.level = error\nrootLogger.appenderRef.out.ref = out\n"
            "appender.out.name = out\nappender.out.type = Console\n"
            "appender.out.target = SYSTEM_ERR\nappender.out.layout.type = PatternLayout\n"
            "appender.out.layout.pattern = %d %p %c %m%n\n")
        self.work = work
        self.spark = open_session(work, parallelism)
        self.java = self.spark.sparkContext._gateway.proc.pid
        self.runs = 0

    def cpu_seconds(self):
        return time.process_time() + processes.cpu_seconds(self.java)

    def memory_mb(self):
        return processes.peak_memory_mb(self.java) + processes.peak_memory_mb(os.getpid())

    def changes(self, name, row, folder):
        events = self.spark.readStream.schema(f"before {row}, after {row}").json(str(folder))
        (events.selectExpr("inline(array(struct(1 AS weight, after AS image), "
                           "struct(-1 AS weight, before AS image)))")
         .where("image IS NOT NULL").selectExpr("weight", "image.*").createOrReplaceTempView(name))

    def writer(self, events, query, mode=None):
        self.changes("transfers", ROW, events / "transfers")
        self.changes("accounts", ACCOUNT, events / "accounts")
        self.runs += 1
        usual, select = QUERIES[query]
        return (self.spark.sql(select).writeStream.outputMode(mode or usual)
                .option("checkpointLocation", str(self.work / f"checkpoint-{self.runs}"))
                .trigger(availableNow=True))

    @staticmethod
    def finish(stream):
        if not stream.awaitTermination(RUN_SECONDS_MAX):
            stream.stop()
            raise TimeoutError(f"Spark's query: not within {RUN_SECONDS_MAX} s")

    def run(self, events, query, begin):
        before = self.cpu_seconds() if begin is None else 0
        started = time.monotonic() if begin is None else begin
        self.finish(self.writer(events, query).format("noop").start())
        return {"cpu_seconds": self.cpu_seconds() - before, "seconds": time.monotonic() - started}

    def write_rows(self, events, query, file):
        folder = self.work / "rows"
        # All rows of groups, once; a filter's changes come only as they are.
        mode = "append" if query == "filter" else "complete"
        writer = self.writer(events, query, mode).foreachBatch(
            lambda rows, number: rows.write.mode("append").csv(str(folder / str(number))))
        self.finish(writer.start())
        rows = collections.Counter()
        for part in sorted(folder.glob("*/part-*")):
            with open(part, encoding="utf-8", newline="") as lines:
                for row in csv.reader(lines):
                    if query == "filter":
                        rows["|".join(row[1:])] += int(row[0])
                    elif row[1] != "0":  # of a group whose rows are gone nothing but zeros is left
                        rows["|".join(row)] += 1
        file.write_text("".join(f"{row if count > 0 else 'taken back: ' + row}\n" * abs(count)
                                for row, count in rows.items()))

    def close(self):
        self.spark.stop()


def runs(arguments, session):
    from pyspark.errors import AnalysisException
    try:
        out = {"first": session.run(arguments.events, arguments.query, BEGIN),
               "second": session.run(arguments.events, arguments.query, None)}
    except AnalysisException as refusal:
        return {"cannot": str(refusal).splitlines()[0]}
    out["memory_mb"] = session.memory_mb()
    if arguments.rows:
        session.write_rows(arguments.events, arguments.query, arguments.rows)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("result", type=pathlib.Path)
    parser.add_argument("--query", choices=[*QUERIES], default="group")
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--rows", type=pathlib.Path)
    parser.add_argument("--first-result", action="store_true")
    arguments = parser.parse_args()
    session = Session(arguments.work.resolve(), arguments.parallelism)
    try:
        if arguments.first_result:
            found = {"seconds": session.run(arguments.events, "group", BEGIN)["seconds"]}
        else:
            found = runs(arguments, session)
    except TimeoutError as failure:
        print(f"spark.py: {failure}", file=sys.stderr)
        return 1
    finally:
        session.close()
    arguments.result.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
