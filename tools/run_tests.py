#!/usr/bin/env python3
"""Builds and runs the tests, step by step, and closes with one line: N passed, N failed, N skipped.

usage: run_tests.py [--fast] [--only STEP,...] [--jobs N] [--fuzz-seconds N]

steps: dev (build and run the C++ tests, on PostgreSQL 15), versions (those that speak to a server,
on the other versions), asan, tsan, fuzz, web, lint
--fast takes dev alone, without the tests that are labelled slow or e2e.

The tests are those that CTest knows. A GoogleTest program is run as a whole, not once for each test,
so that its tests share one PostgreSQL; large ones are split into shards.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUPPRESSIONS = ROOT / "tools" / "sanitizers"
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "LSAN_OPTIONS": f"suppressions={SUPPRESSIONS}/lsan.txt:print_suppressions=0",
    "TSAN_OPTIONS": f"suppressions={SUPPRESSIONS}/tsan.txt:halt_on_error=1:second_deadlock_stack=1",
}
# What can differ between versions of PostgreSQL: program, its tests, and what shortens them.
OTHER_VERSIONS = (14, 16, 17, 18)
VERSION_TESTS = (
    ("tests/harness/harness_test", "Cluster.IsOfTheVersionAskedFor", {}),
    ("src/postgres/postgres_test",
     "*Capture*:Catalog.*:Setup.*:*Preflight*:Snapshot*", {}),
    ("src/pipeline/pipeline_test",
     "CaptureTest.*:*SlotTest.*:*StreamedTest.*/Adopted:*StreamedTest.Random*:*MessagesTest.*",
     {}),
    ("tests/end_to_end_test", "Types.*:TableKinds.*:BadInput.Slot*:BadInput.NoPrivilege:SlotLost.*-SlotLost.ByIdle*",
     {}),
    ("tests/end_to_end_test", "Events.*:PartitionsTest.*:PublicationsTest.*:ServerEvents.*ublication*", {}),
    ("tests/end_to_end_test", "Consistency.*", {"PGWEIR_KILLS": "6", "PGWEIR_SERVER_KILLS": "2"}),
)
# What PostgreSQL 14 does not have: column lists, row filters, whole schemas in publications.
SINCE_15 = ("Catalog.ColumnListsOfPublicationsAreHeld", "*PublicationFiltersPartitions",
            "Setup.PublicationsOfSchemasAreCompletedNotShrunk")
# It counts what the server streams, and 18 streams nothing of what it knows to be rolled back.
NOT_ON_18 = ("*StreamedTest.ALostConnection*",)
TESTS_PER_SHARD = 15
# What goes first while it is not known how long each took the last time.
LONG_PROGRAMS = ("end_to_end_test", "differential_test", "queries_test", "views_test", "pipeline_test", "engine_test")
TIMEOUT_S = 900
OUTPUT_LINES_MAX = 150  # of a failed program


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def add(self, passed=0, failed=0, skipped=0, failures=()):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        self.failures += failures

    def line(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def run(command, timeout=TIMEOUT_S, **options):
    """Exit code and output; a program that takes too long is killed with all that it started."""
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace",
                               start_new_session=True, **options)
    try:
        output, _ = process.communicate(timeout=timeout)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return 124, output + f"\nkilled after {timeout} s\n"


def tail(output):
    lines = output.rstrip().splitlines()
    if len(lines) > OUTPUT_LINES_MAX:
        lines = [f"... {len(lines) - OUTPUT_LINES_MAX} lines left out"] + lines[-OUTPUT_LINES_MAX:]
    return "\n".join("    " + line for line in lines)


# --- C++ tests -------------------------------------------------------------------------------------

class Job:
    """One program to run; `shard` of `shards` of a GoogleTest program."""

    def __init__(self, preset, name, command, directory, environment, gtest, shard=0, shards=1):
        self.preset, self.name, self.command, self.directory = preset, name, command, directory
        self.environment, self.gtest = environment, gtest
        self.shard, self.shards = shard, shards
        self.passed = self.failed = self.skipped = 0
        self.failures, self.output, self.seconds = [], "", 0.0

    def title(self):
        part = f" {self.shard + 1}/{self.shards}" if self.shards > 1 else ""
        return f"{self.preset}: {self.name}{part}"

    def execute(self):
        started = time.monotonic()
        environment = {**os.environ, **SANITIZER_OPTIONS, **self.environment}
        with tempfile.TemporaryDirectory(prefix="pgweir-tests-") as folder:
            report = pathlib.Path(folder) / "report.json"
            command = list(self.command)
            if self.gtest:
                command += [f"--gtest_output=json:{report}", "--gtest_brief=1"]
                environment["GTEST_TOTAL_SHARDS"] = str(self.shards)
                environment["GTEST_SHARD_INDEX"] = str(self.shard)
            code, self.output = run(command, cwd=self.directory, env=environment)
            if self.gtest and report.exists():
                self.count_gtest(json.loads(report.read_text()))
            elif code == 0:
                self.passed = 1
        if code != 0 and not self.failed:
            self.failed = 1
            self.failures.append(f"{self.title()} ended with {code}")
        self.seconds = time.monotonic() - started
        return self

    def count_gtest(self, report):
        for suite in report["testsuites"]:
            for case in suite["testsuite"]:
                if case["status"] != "RUN":
                    # Disabled, or in another shard: only the former is in our way.
                    self.skipped += case["name"].startswith("DISABLED_") and self.shard == 0
                elif case.get("failures"):
                    self.failed += 1
                    self.failures.append(f"{self.preset}: {suite['name']}.{case['name']}")
                elif case.get("result") == "SKIPPED":
                    self.skipped += 1
                else:
                    self.passed += 1


def list_jobs(preset, left_out):
    """The jobs of a build, out of what CTest knows, without tests that have one of the labels."""
    build = ROOT / "build" / preset
    code, output = run(["ctest", "--test-dir", build, "--show-only=json-v1"])
    if code != 0:
        sys.exit(f"ctest cannot list the tests of {preset}:\n{output}")
    programs, jobs = {}, []
    for test in json.loads(output)["tests"]:
        properties = {entry["name"]: entry["value"] for entry in test.get("properties", [])}
        labels = properties.get("LABELS", [])
        if set(labels) & left_out:
            continue
        command = test.get("command")
        if not command:
            jobs.append(Job(preset, test["name"], ["false"], build, {}, False))
            continue
        directory = properties.get("WORKING_DIRECTORY", str(build))
        environment = dict(entry.split("=", 1) for entry in properties.get("ENVIRONMENT", []))
        if any(part.startswith("--gtest_filter=") for part in command):
            program = programs.setdefault(command[0], [0, directory, environment, set()])
            program[0] += 1
            program[3].update(part.split("=", 1)[1] for part in command
                              if part.startswith("--gtest_filter="))
        else:
            jobs.append(Job(preset, test["name"], command, directory, environment, False))
    for program, (count, directory, environment, _) in programs.items():
        shards = max(1, round(count / TESTS_PER_SHARD))
        name = pathlib.Path(program).name
        jobs += [Job(preset, name, [program], directory, environment, True, shard, shards)
                 for shard in range(shards)]
    return jobs


def slowest_first(jobs, times):
    def seconds(job):
        rank = LONG_PROGRAMS.index(job.name) if job.name in LONG_PROGRAMS else len(LONG_PROGRAMS)
        return times.get(job.title(), 100.0 - 10 * rank)
    return sorted(jobs, key=lambda job: -seconds(job))


def execute_all(jobs, workers, totals):
    memory = ROOT / "build" / "test_times.json"
    times = json.loads(memory.read_text()) if memory.exists() else {}
    ok = True
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        pending = [pool.submit(job.execute) for job in slowest_first(jobs, times)]
        for future in concurrent.futures.as_completed(pending):
            job = future.result()
            times[job.title()] = round(job.seconds, 1)
            totals.add(job.passed, job.failed, job.skipped, job.failures)
            mark = "FAILED" if job.failed else "ok"
            print(f"  {mark:6} {job.title():40} {job.passed:4} passed {job.seconds:7.1f} s", flush=True)
            if job.failed:
                ok = False
                print(tail(job.output), flush=True)
    memory.write_text(json.dumps(times, indent=1, sort_keys=True))
    return ok


def build(preset, workers, totals, target=None):
    environment = {**os.environ, **SANITIZER_OPTIONS}
    for command in (["cmake", "--preset", preset],
                    ["cmake", "--build", "--preset", preset, "-j", str(workers)]
                    + (["--target", target] if target else [])):
        code, output = run(command, timeout=7200, cwd=ROOT, env=environment)
        if code != 0:
            print(tail(output), flush=True)
            totals.add(failed=1, failures=[f"{preset} does not build"])
            return False
    return True


def step_cpp(preset, arguments, totals):
    if not build(preset, arguments.jobs, totals):
        return
    left_out = set()
    if arguments.fast:
        left_out = {"slow", "e2e"}
    elif preset != "dev":
        left_out = {"e2e", "tidy"}
    execute_all(list_jobs(preset, left_out), arguments.jobs, totals)


# --- Other versions of PostgreSQL ------------------------------------------------------------------

def step_versions(arguments, totals):
    if not build("dev", arguments.jobs, totals):
        return
    jobs = []
    for version in OTHER_VERSIONS:
        missing = SINCE_15 if version < 15 else NOT_ON_18 if version >= 18 else ()
        for program, tests, environment in VERSION_TESTS:
            chosen = tests + ((":" if "-" in tests else "-") + ":".join(missing) if missing else "")
            path = ROOT / "build" / "dev" / program
            jobs.append(Job(f"PostgreSQL {version}", f"{path.name} {tests.split(':')[0]}",
                            [path, f"--gtest_filter={chosen}"], path.parent,
                            {"PGWEIR_POSTGRES": str(version), **environment}, True))
    execute_all(jobs, arguments.jobs, totals)


# --- Fuzzers ---------------------------------------------------------------------------------------

def step_fuzz(arguments, totals):
    if not build("fuzz", arguments.jobs, totals):
        return
    folder = ROOT / "build" / "fuzz"
    names = (folder / "fuzzers.txt").read_text().split()
    jobs = []
    for name in names:
        program = next(folder.glob(f"src/*/{name}"))
        corpus = folder / "corpus" / name
        corpus.mkdir(parents=True, exist_ok=True)
        inputs = [corpus] + [path for path in ROOT.glob(f"src/*/{name}_corpus") if path.is_dir()]
        command = [program, f"-max_total_time={arguments.fuzz_seconds}", "-timeout=20",
                   "-rss_limit_mb=2048", f"-artifact_prefix={folder}/{name}-", *inputs]
        jobs.append(Job("fuzz", name, command, folder, {}, False))
    # All at once: each is to run for its time, and one behind the others would double the step's.
    execute_all(jobs, len(jobs), totals)


# --- The dashboard ---------------------------------------------------------------------------------

def step_web(arguments, totals):
    web = ROOT / "web"
    for name in ("check", "build"):
        code, output = run(["npm", "run", "--silent", name], cwd=web)
        report(f"npm run {name}", code, output, totals)
    with tempfile.TemporaryDirectory(prefix="pgweir-tests-") as folder:
        result = pathlib.Path(folder) / "vitest.json"
        code, output = run(["npx", "vitest", "run", "--reporter=json", f"--outputFile={result}"],
                           cwd=web)
        if result.exists():
            counts = json.loads(result.read_text())
            failed = counts["numFailedTests"] or int(code != 0)
            totals.add(counts["numPassedTests"], failed,
                       counts["numPendingTests"] + counts["numTodoTests"],
                       ["web: vitest"] if failed else [])
            print(f"  {'FAILED' if failed else 'ok':6} vitest, {counts['numPassedTests']} passed")
            if failed:
                print(tail(output))
        else:
            report("vitest", code, output, totals)
    browser = ROOT / "tests" / "web"
    node_tests("states in a browser", ["node", "--test", browser / "states.test.mjs"], totals)
    program = ROOT / "build" / "dev" / "pgweir"
    if not program.exists() and not build("dev", arguments.jobs, totals, "pgweir"):
        return
    node_tests("dashboard in a browser", ["node", browser / "run.mjs", program], totals)


def report(name, code, output, totals):
    print(f"  {'FAILED' if code else 'ok':6} {name}", flush=True)
    if code:
        print(tail(output), flush=True)
        totals.add(failed=1, failures=[f"web: {name}"])
    else:
        totals.add(passed=1)


def node_tests(name, command, totals):
    """Node's own test runner, which closes with lines such as '# pass 12'."""
    code, output = run(command, cwd=ROOT)
    counts = {key: int(value)
              for key, value in re.findall(r"^(?:#|ℹ) (pass|fail|skipped|todo) (\d+)$", output, re.M)}
    if "pass" not in counts:
        report(name, code or 1, output, totals)
        return
    failed = counts["fail"] or int(code != 0)
    print(f"  {'FAILED' if failed else 'ok':6} {name}, {counts['pass']} passed", flush=True)
    if failed:
        print(tail(output), flush=True)
    totals.add(counts["pass"], failed, counts["skipped"] + counts.get("todo", 0),
               [f"web: {name}"] if failed else [])


def step_lint(arguments, totals):
    code, output = run([sys.executable, ROOT / "tools" / "lint.py", "--jobs", arguments.jobs],
                       timeout=3600)
    print(tail(output), flush=True)
    totals.add(passed=int(code == 0), failed=int(code != 0), failures=["lint"] if code else [])


STEPS = {
    "dev": ("build and test", lambda a, t: step_cpp("dev", a, t)),
    "versions": ("PostgreSQL " + ", ".join(map(str, OTHER_VERSIONS)), step_versions),
    "asan": ("AddressSanitizer and UndefinedBehaviorSanitizer", lambda a, t: step_cpp("asan", a, t)),
    "tsan": ("ThreadSanitizer", lambda a, t: step_cpp("tsan", a, t)),
    "fuzz": ("fuzzers", step_fuzz),
    "web": ("the dashboard", step_web),
    "lint": ("format, clang-tidy, layers", step_lint),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--fuzz-seconds", type=int, default=60)
    arguments = parser.parse_args()
    names = ["dev"] if arguments.fast else (arguments.only.split(",") if arguments.only else [*STEPS])
    unknown = [name for name in names if name not in STEPS]
    if unknown:
        parser.error(f"no step {', '.join(unknown)}; there are {', '.join(STEPS)}")
    totals = Totals()
    started = time.monotonic()
    for number, name in enumerate(names, 1):
        title, step = STEPS[name]
        print(f"=== {number}/{len(names)} {name}: {title}", flush=True)
        begun = time.monotonic()
        step(arguments, totals)
        print(f"=== {name}: {time.monotonic() - begun:.0f} s\n", flush=True)
    if totals.failures:
        print("failed:")
        for failure in totals.failures:
            print("  " + failure)
    print(f"({time.monotonic() - started:.0f} s in all)")
    print(totals.line())
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
