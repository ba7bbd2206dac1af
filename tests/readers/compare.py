#!/usr/bin/env python3
"""Reads a Parquet sink's folder with DuckDB, pyarrow, pandas and Spark, and compares what they find
with what PostgreSQL noted while it happened (audit.sql): columns, types, and every value of every row.

usage: compare.py FOLDER EXPECTED

Prints what differs and exits with 1. A reader that is missing is an error too.
"""
import collections
import dataclasses
import datetime
import decimal
import json
import os
import pathlib
import re
import struct
import sys
import tempfile

DIFFERENCES_MAX = 30  # shown
DAYS_OF_PYTHON = range(-719162, 2932897)  # 0001-01-01 to 9999-12-31
INFINITE_DAY, INFINITE_US = 2**31 - 1, 2**63 - 1

# Each kind of column, as docs/parquet.md has it: its type's name by DuckDB, Arrow and Spark.
KINDS = {
    "boolean": ("BOOLEAN", "bool", "boolean"),
    "smallint": ("SMALLINT", "int16", "smallint"),
    "integer": ("INTEGER", "int32", "int"),
    "bigint": ("BIGINT", "int64", "bigint"),
    "real": ("FLOAT", "float", "float"),
    "double precision": ("DOUBLE", "double", "double"),
    "bytea": ("BLOB", "binary", "binary"),
    "date": ("DATE", "date32[day]", "date"),
    "timestamp": ("TIMESTAMP", "timestamp[us]", "timestamp_ntz"),
    "timestamptz": ("TIMESTAMP WITH TIME ZONE", "timestamp[us, tz=UTC]", "timestamp"),
    "text": ("VARCHAR", "string", "string"),
    "text[]": ("VARCHAR[]", "list<element: string>", "array<string>"),
}
KINDS |= {f"numeric({p},{s})": (f"DECIMAL({p},{s})", f"decimal128({p}, {s})", f"decimal({p},{s})")
          for p in range(1, 39) for s in range(p + 1)}
HEAD = {"op": "text", "commit_time": "timestamptz", "commit_lsn": "text", "lsn": "bigint",
        "sequence": "bigint", "xid": "bigint", "epoch": "integer"}
NOTES = {"unchanged": "text[]", "before": "text"}
FOLDERS = {"date": "text"}  # its type is the reader's guess, so only its text counts


def kind_of(postgres_type):
    type_ = {"numeric": "numeric(38,9)", "oid": "bigint"}.get(postgres_type, postgres_type)
    if re.fullmatch(r"timestamp(\(\d\))? with time zone", type_):
        return "timestamptz"
    if re.fullmatch(r"timestamp(\(\d\))? without time zone", type_):
        return "timestamp"
    return type_ if type_ in KINDS and type_ != "text[]" else "text"


# --- What is expected ------------------------------------------------------------------------------

@dataclasses.dataclass
class Table:
    schema: str
    name: str
    kinds: dict  # output name of each of its own columns -> kind
    outputs: dict  # PostgreSQL's name -> output name
    changes: list = dataclasses.field(default_factory=list)

    def folder(self):
        return f"table={escaped(self.schema)}.{escaped(self.name)}"

    def all_kinds(self):
        return HEAD | self.kinds | NOTES | FOLDERS


def escaped(name):
    return re.sub(r"[^A-Za-z0-9_\-\u0080-\U0010ffff]", lambda m: f"%{ord(m[0]):02X}", name)


def make_table(line):
    taken = {*HEAD, *NOTES, "date", "table"}
    outputs = {}
    for column in line["columns"]:
        output = column["name"]
        while output.lower() in taken:
            output += "_"
        taken.add(output.lower())
        outputs[column["name"]] = output
    kinds = {outputs[c["name"]]: kind_of(c["type"]) for c in line["columns"]}
    return Table(line["schema"], line["name"], kinds, outputs)


def read_expected(path):
    tables = {}
    for text in pathlib.Path(path).read_text().splitlines():
        line = json.loads(text)
        if "table" in line:
            tables[line["table"]] = make_table(line)
        else:
            tables[line["tab"]].changes.append(line)
    return list(tables.values())


def expected_cell(kind, text):
    if text is None:
        return None
    if kind == "boolean":
        return {"t": True, "f": False}[text]
    if kind in ("smallint", "integer", "bigint", "date", "timestamp", "timestamptz"):
        return int(text)
    if kind == "real":
        return repr(struct.unpack("<f", struct.pack("<f", float(text)))[0] + 0.0)  # -0 becomes 0
    if kind == "double precision":
        return repr(float(text) + 0.0)
    if kind.startswith("numeric"):
        return decimal.Decimal(text)
    return bytes.fromhex(text) if kind == "bytea" else text


def expected_row(table, change):
    """The cells of a row that the change alone determines."""
    cells = change["cells"] or {}
    not_sent = change["unchanged"] or []
    row = {"op": change["op"], "xid": change["xid"]}
    if change["commit_us"] is not None:
        row["commit_time"] = change["commit_us"]
    for source, output in table.outputs.items():
        text = None if source in not_sent else cells.get(source)
        row[output] = expected_cell(table.kinds[output], text)
    row["unchanged"] = [table.outputs[name] for name in not_sent] or None
    row["before"] = change["before"] and {table.outputs[n]: v for n, v in change["before"].items()}
    return row


# --- The readers -----------------------------------------------------------------------------------
#
# Each gives the types of the columns, in the words of KINDS, and the rows as dictionaries, with dates
# and timestamps as numbers of days and microseconds.

class DuckDb:
    name = "DuckDB"
    words = 0

    def __init__(self):
        import duckdb
        self.connection = duckdb.connect()

    def read(self, folder, kinds):
        # The folder's own name is no pattern.
        pattern = re.sub(r"([*?\[\]])", r"[\1]", folder).replace("'", "''") + "/**/*.parquet"
        files = f"read_parquet('{pattern}', union_by_name = true, hive_partitioning = true)"
        described = self.connection.execute(f"DESCRIBE FROM {files}").fetchall()
        types = {name: type_ for name, type_, *_ in described if name != "table"}
        columns = ", ".join(self.expression(name, kinds.get(name, "text")) for name in types)
        rows = self.connection.execute(f"SELECT {columns} FROM {files}").fetchall()
        return types, [dict(zip(types, row)) for row in rows]

    @staticmethod
    def expression(name, kind):
        quoted = '"' + name.replace('"', '""') + '"'
        numbers = {"date": (f"date_diff('day', DATE '1970-01-01', {quoted})", INFINITE_DAY),
                   "timestamp": (f"epoch_us({quoted})", INFINITE_US),
                   "timestamptz": (f"epoch_us({quoted})", INFINITE_US)}
        if kind not in numbers:
            return f"{quoted}::VARCHAR" if name == "date" else quoted
        finite, infinite = numbers[kind]
        return (f"CASE WHEN isinf({quoted}) AND {quoted} > 'epoch' THEN {infinite} "
                f"WHEN isinf({quoted}) THEN -{infinite} ELSE {finite} END")


class PyArrow:
    name = "pyarrow"
    words = 1

    def __init__(self):
        import pyarrow.dataset
        self.arrow = pyarrow

    def dataset(self, folder):
        """As docs/parquet.md shows it: without a schema, the first file's columns would be all."""
        dataset = self.arrow.dataset.dataset(folder, partitioning="hive")
        schemas = [fragment.physical_schema for fragment in dataset.get_fragments()]
        return dataset.replace_schema(self.arrow.unify_schemas([*schemas, dataset.schema]))

    def read(self, folder, kinds):
        table = self.dataset(folder).to_table()
        types = {field.name: str(field.type) for field in table.schema}
        columns = {name: self.numbers(table.column(name), kinds.get(name)).to_pylist()
                   for name in types}
        return types, [dict(zip(columns, row)) for row in zip(*columns.values())]

    def numbers(self, column, kind):
        width = {"date": 32, "timestamp": 64, "timestamptz": 64}.get(kind)
        if not width:
            return column
        return column.cast(self.arrow.int32() if width == 32 else self.arrow.int64())


class Pandas:
    """With Arrow's types, which hold integers beside NULL, and dates of any year."""
    name = "pandas"
    words = 1

    def __init__(self):
        import pandas
        self.pandas = pandas
        self.pyarrow = PyArrow()

    def frame(self, folder, **options):
        schema = self.pyarrow.dataset(folder).schema
        return self.pandas.read_parquet(folder, schema=schema, **options)

    def read(self, folder, kinds):
        frame = self.frame(folder, dtype_backend="pyarrow")
        types = {name: str(frame[name].dtype.pyarrow_dtype) for name in frame.columns}
        columns = {}
        for name in types:
            width = {"date": "int32", "timestamp": "int64", "timestamptz": "int64"}
            kind = kinds.get(name)
            series = frame[name].astype(f"{width[kind]}[pyarrow]") if kind in width else frame[name]
            columns[name] = [None if value is self.pandas.NA else value for value in series]
        return types, [dict(zip(columns, row)) for row in zip(*columns.values())]


class Spark:
    name = "Spark"
    words = 2

    def __init__(self):
        from pyspark.sql import SparkSession
        java = pathlib.Path("/usr/lib/jvm/java-17-openjdk-amd64")
        if java.exists():
            os.environ["JAVA_HOME"] = str(java)
        self.scratch = tempfile.TemporaryDirectory(prefix="pgweir-spark-")
        quick = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
        settings = {"spark.driver.memory": "512m", "spark.driver.extraJavaOptions": quick,
                    "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1",
                    "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false",
                    "spark.local.dir": self.scratch.name, "spark.log.level": "ERROR",
                    "spark.sql.warehouse.dir": self.scratch.name + "/warehouse",
                    "spark.sql.session.timeZone": "UTC"}
        builder = SparkSession.builder.master("local[1]")
        for key, value in settings.items():
            builder = builder.config(key, value)
        self.session = builder.getOrCreate()

    def read(self, folder, kinds):
        frame = self.session.read.option("mergeSchema", True).parquet(folder)
        types = dict(frame.dtypes)
        expressions = [self.expression(name, kinds.get(name, "text")) for name in types]
        rows = frame.selectExpr(*expressions).collect()
        return types, [dict(zip(types, map(self.plain, row))) for row in rows]

    @staticmethod
    def expression(name, kind):
        quoted = "`" + name.replace("`", "``") + "`"
        form = {"date": "unix_date({})", "timestamptz": "unix_micros({})",
                "timestamp": "unix_micros(CAST({} AS timestamp))"}.get(kind, "{}")
        return form.format(f"CAST({quoted} AS string)" if name == "date" else quoted)

    @staticmethod
    def plain(value):
        return bytes(value) if isinstance(value, bytearray) else value


# --- The comparison --------------------------------------------------------------------------------

def comparable(kind, value):
    if value is None:
        return None
    if kind in ("real", "double precision"):
        return repr(value)
    if kind == "text[]":
        return [*value]
    if kind == "boolean":
        return bool(value)
    return value


class Comparison:
    def __init__(self):
        self.differences = []
        self.cells = 0

    def differs(self, *where, has=None, should=None):
        self.differences.append(f"{': '.join(map(str, where))}: is {has!r}, should be {should!r}")

    def types(self, reader, table, found):
        should = {name: KINDS[kind][reader.words] for name, kind in table.all_kinds().items()}
        for name in FOLDERS:
            should[name] = found.get(name)
        if found != should:
            self.differs(reader.name, table.name, "columns", has=sorted(found.items() - should.items()),
                         should=sorted(should.items() - found.items(), key=str))

    def rows(self, reader, table, rows):
        """Every row against what PostgreSQL noted, in the order that docs/parquet.md promises."""
        if len(rows) != len(table.changes):
            self.differs(reader.name, table.name, "rows", has=len(rows), should=len(table.changes))
        changed = [expected_row(table, change) for change in table.changes]
        # Rows of the snapshot have no order but by their own values; they come first.
        first = next((i for i, row in enumerate(changed) if row["op"] != "r"), len(changed))
        own = lambda row: json.dumps([row[name] for name in table.kinds], default=str)
        changed[:first] = sorted(changed[:first], key=own)
        rows[:first] = sorted(rows[:first], key=own)
        for number, (row, should) in enumerate(zip(rows, changed), 1):
            for name, cell in should.items():
                has = row[name]
                if name == "before" and has is not None:
                    has = json.loads(has)
                self.cells += 1
                if has != cell or type(has) is not type(cell):
                    self.differs(reader.name, table.name, f"row {number} ({row['op']})", name, has=has,
                                 should=cell)

    def heads(self, reader, table, rows):
        """What pgweir itself gives to each row agrees within the row, and names it."""
        positions = [(row["epoch"], row["lsn"], row["sequence"]) for row in rows]
        if len(set(positions)) != len(rows):
            self.differs(reader.name, table.name, "positions", has=len(set(positions)), should=len(rows))
        for number, row in enumerate(rows, 1):
            day = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=row["commit_time"])
            lsn = f"{row['lsn'] >> 32:X}/{row['lsn'] & 0xffffffff:X}"
            for name, should in (("commit_lsn", lsn), ("date", str(day.date()))):
                if row[name] != should:
                    self.differs(reader.name, table.name, f"row {number}", name, has=row[name],
                                 should=should)

    def read(self, reader, table, folder):
        kinds = table.all_kinds()
        types, rows = reader.read(str(folder / table.folder()), kinds)
        self.types(reader, table, types)
        if set(types) != set(kinds):
            return None
        rows = [{name: comparable(kinds[name], value) for name, value in row.items()} for row in rows]
        rows.sort(key=lambda row: (row["epoch"], row["lsn"], row["sequence"]))
        self.heads(reader, table, rows)
        heads = [[row[name] for name in (*HEAD, *FOLDERS)] for row in rows]
        self.rows(reader, table, rows)
        return heads


def plain_pandas(comparison, reader, table, folder):
    """pandas with its own defaults opens a table whose dates are of years that Python has, too."""
    days = [expected_cell("date", (change["cells"] or {}).get(source))
            for change in table.changes for source, output in table.outputs.items()
            if table.kinds[output] == "date"]
    if any(day is not None and day not in DAYS_OF_PYTHON for day in days):
        return
    counts = collections.Counter(reader.frame(str(folder / table.folder()))["op"])
    should = collections.Counter(change["op"] for change in table.changes)
    if counts != should:
        comparison.differs("pandas", table.name, "operations", has=counts, should=should)


def main():
    folder = pathlib.Path(sys.argv[1])
    tables = read_expected(sys.argv[2])
    comparison = Comparison()
    found = sorted(path.name for path in folder.iterdir() if path.name.startswith("table="))
    if found != sorted(table.folder() for table in tables):
        comparison.differs("folders", has=found, should=sorted(table.folder() for table in tables))
    readers = [DuckDb(), PyArrow(), Pandas(), Spark()]
    for table in tables:
        heads = {}
        for reader in readers:
            cells = comparison.cells
            heads[reader.name] = comparison.read(reader, table, folder)
            print(f"{table.folder()}: {reader.name}: {len(table.changes)} rows, "
                  f"{len(table.all_kinds())} columns, {comparison.cells - cells} cells compared")
        plain_pandas(comparison, readers[2], table, folder)
        for name, others in heads.items():
            if others != heads["DuckDB"]:
                comparison.differs(name, table.name, "positions and times", has=others,
                                   should=heads["DuckDB"])
    for difference in comparison.differences[:DIFFERENCES_MAX]:
        print(difference[:1000])
    print(f"{len(comparison.differences)} differences")
    return int(bool(comparison.differences))


if __name__ == "__main__":
    sys.exit(main())
