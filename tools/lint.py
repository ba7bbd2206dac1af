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
# A check that sees nothing in files which others include, and what it is about.
MAIN_FILE_CHECK = "misc-unused-using-decls"
USING_DECLARATION = re.compile(r"\busing [\w:]+;")


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


def unit_of(files, path):
    """The compile command of a translation unit made of these files, which are of one list."""
    first = files[0]
    if len(files) == 1:
        return first
    path.write_text("".join(f'#include "{entry["file"]}"\n' for entry in files))
    return {**first, "file": str(path), "command": first["command"].replace(first["file"], str(path))}


def tidy(entries, folder, jobs):
    """Looks at files by their compile commands; those that are clean, and what is wrong with others.

    `folder` is for translation units, below one with a .clang-tidy.
    """
    program = tool("clang-tidy")
    folder.mkdir(exist_ok=True)

    def look_at(lists, *options):
        units = [unit_of(files, folder / f"{number}.cc") for number, files in enumerate(lists)]
        (folder / "compile_commands.json").write_text(json.dumps(units))
        command = [program, "-p", folder, "--quiet", *EXTRA, *options]
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            results = pool.map(lambda unit: run([*command, unit["file"]]), units)
            return [(files, "" if code == 0 else output or f"{files[0]['file']}: clang-tidy ended with {code}")
                    for files, (code, output) in zip(lists, results)]

    lists = [*together(entries)]
    alone = [files for files in lists if len(files) == 1]
    clean, declares = [], []
    for files, output in look_at([files for files in lists if len(files) > 1]):
        for entry in files:
            if output:
                alone.append([entry])
            elif USING_DECLARATION.search(pathlib.Path(entry["file"]).read_text()):
                declares.append([entry])
            else:
                clean.append(entry)
    faults = []
    for files, output in look_at(alone) + look_at(declares, f"--checks=-*,{MAIN_FILE_CHECK}"):
        if output:
            faults.append("\n".join(line for line in output.splitlines()
                                    if "warnings generated" not in line and "warnings treated" not in line))
        else:
            clean += files
    return clean, faults


def check_tidy(arguments):
    commands = BUILD / "compile_commands.json"
    if not commands.exists():
        return ["clang-tidy needs build/dev: run make test-fast or cmake --preset dev first"]
    code, output = run([sys.executable, ROOT / "tools" / "lint_test.py"])
    if code != 0:
        return [output.strip()]
    base = (ROOT / ".clang-tidy").read_bytes() + run([tool("clang-tidy"), "--version"])[1].encode()
    deps = included_files()
    memory = BUILD / "clean_files.json"
    known = json.loads(memory.read_text()) if memory.exists() else {}
    entries = [entry for entry in json.loads(commands.read_text())
               if ROOT in pathlib.Path(entry["file"]).parents]
    prints = {entry["file"]: fingerprint(entry, deps, base) for entry in entries}
    todo = [entry for entry in entries if known.get(entry["file"]) != prints[entry["file"]]]
    clean, faults = tidy(todo, BUILD / "tidy", arguments.jobs)
    known.update({entry["file"]: prints[entry["file"]] for entry in clean})
    memory.write_text(json.dumps(known))
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
