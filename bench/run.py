#!/usr/bin/env python3
"""Measures: builds the benchmarks in the release preset, runs them, keeps what they found.

usage: run.py [--only GROUP,...] [--quick] [--runs N] [--jobs N]

groups: capture, large_transaction, snapshot, soak, verify, views (kafka, sinks and insight are not
built yet); views needs what tools/setup.sh peers fetches
Each group's figures go into bench/results/GROUP-DATE.json, with machine, versions and commit, and
are printed again at the end. --quick runs everything at a small size, to see that it works: its
figures mean nothing and go into build/ instead. --runs is how often capture_bench (5), peers_bench
(2) and shapes_bench (3) measure.

A figure that falls short of its goal is no failure; a program that ends badly is (exit code 1).
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"

# Program and what --quick adds to its command line.
GROUPS = {
    "capture": [
        ("capture_bench", ["--changes", "30000", "--runs", "1"]),
        ("latency_bench", ["--rows", "30000", "--probes", "30", "--rounds", "2", "--starts", "2"]),
        ("state_bench", ["--rows", "20000", "--rounds", "2", "--batches", "3", "--soak", "10"]),
    ],
    "large_transaction": [
        ("large_bench", ["--rows", "100000"]),
    ],
    "snapshot": [
        ("snapshot_bench", ["--rows", "100000", "--rounds", "1"]),
    ],
    "soak": [
        ("soak_bench", ["--minutes", "1"]),
    ],
    "verify": [
        ("verify_bench", ["--rows", "50000", "--rounds", "1"]),
    ],
    "views": [
        ("peers_bench", ["--changes", "20000", "--rounds", "1"]),
        ("shapes_bench", ["--rows", "20000", "--rounds", "1", "--batches", "3"]),
    ],
}
# What --runs is called where it counts.
RUNS = {"capture_bench": "--runs", "peers_bench": "--rounds", "shapes_bench": "--rounds"}
PLANNED = ["kafka", "sinks", "insight"]


def output_of(command):
    """What a command prints, or 'unknown'."""
    try:
        done = subprocess.run([str(part) for part in command], cwd=ROOT, text=True, timeout=30,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def first_match(pattern, path):
    """The first group of the first line in a file that matches, or 'unknown'."""
    try:
        found = re.search(pattern, pathlib.Path(path).read_text(), re.M)
    except OSError:
        found = None
    return found.group(1).strip() if found else "unknown"


def machine():
    kibibytes = first_match(r"^MemTotal:\s*(\d+)", "/proc/meminfo")
    return {
        "processor": first_match(r"^model name\s*:\s*(.*)$", "/proc/cpuinfo"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(kibibytes) / 2**20, 1) if kibibytes.isdigit() else "unknown",
        "system": first_match(r'^PRETTY_NAME="?([^"\n]*)', "/etc/os-release"),
        "kernel": platform.release().split("-")[0],
    }


def peer_versions():
    """Those of the peers that are there."""
    found = {}
    for name, jars in (("flink", ".deps/flink/lib/flink-dist-*.jar"),
                       ("spark", ".deps/python/lib/*/site-packages/pyspark/jars/spark-core_*.jar")):
        for path in ROOT.glob(jars):
            found[name] = path.stem.rpartition("-")[2]
            found["java"] = output_of(["java", "--version"]).splitlines()[0]
    return found


def versions():
    # The newest of Debian's servers, as the harness takes it.
    servers = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"),
                     key=lambda path: float(path.parts[-3]))
    compiler = first_match(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", BUILD / "CMakeCache.txt")
    flags = first_match(r"^set\(CMAKE_CXX_FLAGS_RELEASE \"(.*)\"\)$", ROOT / "CMakeLists.txt")
    try:
        own = json.loads(output_of([BUILD / "pgweir", "version", "--json"]))
    except ValueError:
        own = {}
    return {
        "pgweir": own.get("pgweir", "unknown"),
        "postgresql": output_of([servers[-1], "--version"]) if servers else "unknown",
        "duckdb": own.get("duckdb", "unknown"),
        "libpq": own.get("libpq", "unknown"),
        **peer_versions(),
        "compiler": output_of([compiler, "--version"]).splitlines()[0],
        "flags": flags,
    }


def build(programs, jobs):
    """True when the programs, and pgweir, are built."""
    print(f"building {', '.join(programs)}", flush=True)
    for command in (["cmake", "--preset", "release"],
                    ["cmake", "--build", "--preset", "release", "-j", str(jobs), "--target",
                     "pgweir", *programs]):
        done = subprocess.run(command, cwd=ROOT, text=True, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            print("\n".join(done.stdout.splitlines()[-60:]), file=sys.stderr)
            return False
    return True


def run_program(name, arguments):
    """Runs one benchmark, showing what it prints; its 'figure' lines, results and exit code."""
    lines = []
    with tempfile.TemporaryDirectory(prefix="pgweir-bench-") as folder:
        result = pathlib.Path(folder) / "result.json"
        process = subprocess.Popen([str(BUILD / "bench" / name), str(result), *arguments], cwd=ROOT,
                                   stdout=subprocess.PIPE, text=True, errors="replace")
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                if line.startswith("figure "):
                    lines.append(line.rstrip("\n"))
            code = process.wait()
        except KeyboardInterrupt:
            # The terminal has told the program too, and its servers end with it.
            process.wait()
            raise
        figures = json.loads(result.read_text())["figures"] if result.exists() else []
    return lines, figures, code


def run_group(name, quick, runs):
    """Runs a group's programs and keeps their figures; (figure lines, whether all ended well).

    `runs` is how often the programs of RUNS measure; None leaves it to them."""
    commit = output_of(["git", "describe", "--always", "--dirty"])
    lines, programs, well = [], {}, True
    for program, small in GROUPS[name]:
        print(f"=== {name}: {program}", flush=True)
        started = time.monotonic()
        often = [RUNS[program], str(runs)] if runs and program in RUNS else []
        found, figures, code = run_program(program, small if quick else often)
        seconds = time.monotonic() - started
        print(f"=== {program}: {seconds:.0f} s" + (f", ended with {code}" if code else ""),
              flush=True)
        lines += found
        programs[program] = {"exit_code": code, "seconds": round(seconds), "figures": figures}
        well = well and code == 0
    # A day's later run replaces the earlier one; a small one must not look like a measurement.
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    folder = ROOT / "build" if quick else ROOT / "bench" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{'quick' if quick else date}.json"
    path.write_text(json.dumps({"group": name, "date": date, "quick": quick, "commit": commit,
                                "machine": machine(), "versions": versions(),
                                "programs": programs}, indent=1) + "\n")
    print(f"kept in {path.relative_to(ROOT)}", flush=True)
    return lines, well


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="GROUP,...")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--jobs", type=int,
                        default=int(os.environ.get("JOBS") or len(os.sched_getaffinity(0))))
    arguments = parser.parse_args()
    names = [name for name in arguments.only.split(",") if name] or [*GROUPS]
    unknown = [name for name in names if name not in GROUPS and name not in PLANNED]
    if unknown:
        parser.error(f"no group {', '.join(unknown)}; there are {', '.join([*GROUPS, *PLANNED])}")
    planned = [name for name in names if name in PLANNED]
    if planned:
        print(f"run.py: not built yet: {', '.join(planned)}; there is {', '.join(GROUPS)}",
              file=sys.stderr)
        return 2
    if not build([program for name in names for program, _ in GROUPS[name]], arguments.jobs):
        print("run.py: the benchmarks do not build", file=sys.stderr)
        return 1
    lines, well = [], True
    for name in names:
        found, ended_well = run_group(name, arguments.quick, arguments.runs)
        lines += found
        well = well and ended_well
    print("\n=== all figures")
    print("\n".join(lines))
    short = sum(" short  (of " in line for line in lines)
    goals = sum(" goal " in line for line in lines)
    print(f"{goals} figures with a goal, {short} short" + ("" if well else "; a program failed"))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
