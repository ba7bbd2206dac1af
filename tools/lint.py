#!/usr/bin/env python3
"""Checks form: clang-format 14, clang-tidy 14, the layer table, and the dashboard's types.

usage: lint.py [--fix] [--jobs N] [--only format,layers,tidy,web]

clang-tidy takes seconds a file, most of them for headers, so it looks at some files of a folder in
one translation unit; where that finds anything, or where they do not stand together, at each alone. A
file that was clean is looked at again only when it, one of the headers that it includes, .clang-tidy
or its compile command has changed. --fix formats instead.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "dev"
# GCC's own warning options, which are in the compile commands.
EXTRA = ["--extra-arg=-Wno-unknown-warning-option"]
VERSION = 14  # Debian 12's; another version formats and warns differently
FILES_AT_ONCE_MAX = 4  # for clang-tidy; of more, too many define the same name


def run(command, **options):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    return done.returncode, done.stdout


def tool(name):
    """The tool of the right version, or an end with words."""
    for candidate in (f"{name}-{VERSION}", name):
        path = shutil.which(candidate)
        if path and re.search(rf"version {VERSION}\.", run([path, "--version"])[1]):
            return path
    sys.exit(f"lint: {name} {VERSION} is missing: run tools/setup.sh lint")


def sources():
    return sorted(path for folder in ("src", "tests", "bench") for kind in ("*.cc", "*.h")
                  for path in (ROOT / folder).rglob(kind))


def check_format(arguments):
    command = [tool("clang-format")] + (["-i"] if arguments.fix else ["--dry-run", "-Werror"])
    code, output = run(command + sources())
    faults = sorted({str(pathlib.Path(found).relative_to(ROOT))
                     for found in re.findall(r"^(\S+?):\d+:\d+: error", output, re.M)})
    if code != 0 and not faults:
        return [output]
    return [f"{name}: is not formatted (make format)" for name in faults]


def check_layers(_):
    faults = []
    for command in (["tools/check_layers.py", BUILD / "layers.txt", "src"],
                    ["tools/check_layers_test.py"]):
        code, output = run([sys.executable, *command], cwd=ROOT)
        if code != 0:
            faults.append(output.strip())
    return faults


def included_files():
    """For each object file what it was made from, as ninja noted it at the last build."""
    code, output = run(["ninja", "-C", BUILD, "-t", "deps"])
    if code != 0:
        return {}
    deps, current = {}, None
    for line in output.splitlines():
        if line and not line.startswith(" "):
            current = deps.setdefault(line.split(":")[0], [])
        elif line.strip() and current is not None:
            current.append((BUILD / line.strip()).resolve())
    return deps


def fingerprint(entry, deps, base):
    digest = hashlib.sha256(base + entry["command"].encode())
    files = deps.get(entry.get("output", ""), [])
    for path in [pathlib.Path(entry["file"]), *files]:
        # What is installed changes with the tools, which `base` covers.
        if ROOT in path.parents and path.exists():
            digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()


def together(entries):
    """The entries in lists that one translation unit can hold: of one folder, compiled alike."""
    alike = {}
    for entry in entries:
        options = re.sub(r" -o \S+ -c \S+", "", entry["command"])
        alike.setdefault((pathlib.Path(entry["file"]).parent, options), []).append(entry)
    for files in alike.values():
        count = -(-len(files) // FILES_AT_ONCE_MAX)
        yield from (files[part::count] for part in range(count))


def unit_of(files, number):
    """The compile command of a translation unit made of these files, which are of one list."""
    first = files[0]
    if len(files) == 1:
        return first
    unit = BUILD / "tidy" / f"{number}.cc"
    unit.write_text("".join(f'#include "{entry["file"]}"\n' for entry in files))
    return {**first, "file": str(unit), "command": first["command"].replace(first["file"], str(unit))}


def check_tidy(arguments):
    commands = BUILD / "compile_commands.json"
    if not commands.exists():
        return ["clang-tidy needs build/dev: run make test-fast or cmake --preset dev first"]
    tidy = tool("clang-tidy")
    base = (ROOT / ".clang-tidy").read_bytes() + run([tidy, "--version"])[1].encode()
    deps = included_files()
    memory = BUILD / "clean_files.json"
    clean = json.loads(memory.read_text()) if memory.exists() else {}
    entries = [entry for entry in json.loads(commands.read_text())
               if ROOT in pathlib.Path(entry["file"]).parents]
    prints = {entry["file"]: fingerprint(entry, deps, base) for entry in entries}
    todo = [entry for entry in entries if clean.get(entry["file"]) != prints[entry["file"]]]
    database = BUILD / "tidy"
    database.mkdir(exist_ok=True)

    def look_at(lists):
        """Notes the files that are clean; the others' lists, with what was said of them."""
        units = [unit_of(files, number) for number, files in enumerate(lists)]
        (database / "compile_commands.json").write_text(json.dumps(units))
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            results = pool.map(lambda unit: run([tidy, "-p", database, "--quiet", *EXTRA, unit["file"]]), units)
            for files, (code, output) in zip(lists, results):
                if code != 0:
                    yield files, output
                    continue
                for entry in files:
                    clean[entry["file"]] = prints[entry["file"]]

    lists = [*together(todo)]
    alone = [[entry] for files in lists if len(files) == 1 for entry in files]
    alone += [[entry] for files, _ in look_at([files for files in lists if len(files) > 1]) for entry in files]
    faults = ["\n".join(line for line in output.splitlines()
                        if "warnings generated" not in line and "warnings treated" not in line)
              for _, output in look_at(alone)]
    memory.write_text(json.dumps(clean))
    print(f"  clang-tidy: {len(todo)} of {len(entries)} files looked at, the others have not changed")
    return faults


def check_web(_):
    if not (ROOT / "web" / "node_modules").exists():
        return ["web/node_modules is missing: run tools/setup.sh"]
    code, output = run(["npm", "run", "--silent", "check"], cwd=ROOT / "web")
    return [output.strip()] if code != 0 else []


CHECKS = {"format": check_format, "layers": check_layers, "tidy": check_tidy, "web": check_web}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fix", action="store_true")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    names = ["format"] if arguments.fix else (arguments.only.split(",") if arguments.only else [*CHECKS])
    bad = False
    for name in names:
        started = time.monotonic()
        faults = CHECKS[name](arguments)
        print(f"{name}: {'clean' if not faults else f'{len(faults)} faults'} "
              f"({time.monotonic() - started:.0f} s)", flush=True)
        for fault in faults:
            print(fault, flush=True)
        bad |= bool(faults)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
