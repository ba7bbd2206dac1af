#!/usr/bin/env python3
"""Reads a Parquet sink's folder with pyarrow, pandas and Spark, as far as they are installed.

usage: parquet_readers.py FOLDER

For each table the readers must agree on the columns and on the number of rows by operation. A reader
that is not installed is named as not run; when none is, nothing has been checked and the exit code
is 77 (skipped).
"""
import collections
import pathlib
import sys


def with_pyarrow(folder):
    import pyarrow.dataset
    table = pyarrow.dataset.dataset(folder, format="parquet", partitioning="hive").to_table()
    return set(table.column_names), collections.Counter(table.column("op").to_pylist())


def with_pandas(folder):
    import pandas
    frame = pandas.read_parquet(folder)
    return set(frame.columns), collections.Counter(frame["op"])


def with_spark(folder):
    from pyspark.sql import SparkSession
    spark = SparkSession.builder.master("local[1]").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    frame = spark.read.option("mergeSchema", True).parquet(folder)
    counts = {row["op"]: row["count"] for row in frame.groupBy("op").count().collect()}
    frame.collect()  # every value of every column
    return set(frame.columns), collections.Counter(counts)


READERS = {"pyarrow": with_pyarrow, "pandas": with_pandas, "spark": with_spark}


def main():
    tables = sorted(pathlib.Path(sys.argv[1]).glob("table=*"))
    if not tables:
        sys.exit(f"{sys.argv[1]} holds no table= folder")
    ran, bad = 0, False
    for table in tables:
        answers = {}
        for name, reader in READERS.items():
            try:
                answers[name] = reader(str(table))
            except ImportError as missing:
                print(f"{table.name}: {name} not run: {missing}")
        ran += len(answers)
        if any(answer != next(iter(answers.values())) for answer in answers.values()):
            bad = True
            print(f"{table.name}: the readers disagree: {answers}")
        for name, (columns, counts) in answers.items():
            print(f"{table.name}: {name}: {len(columns)} columns, {dict(counts)}")
    return 77 if ran == 0 else int(bad)


if __name__ == "__main__":
    sys.exit(main())
