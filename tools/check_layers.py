#!/usr/bin/env python3
"""Fails when a file includes what its folder may not.

usage: check_layers.py [LAYERS SRC]   (else those of build/dev, which cmake has made)

Two rules, one table each:
- a module includes only itself and the modules that its add_module() names in DEPS, and a row may
  name only rows above it, so the folders form no cycle;
- a library from outside is included only by the one folder that wraps it.
"""
import pathlib
import re
import sys

# What is included, and the only folders that may: the "only X knows Y" of ARCHITECTURE.md.
OWNERS = [
    (r"libpq-fe\.h|libpq/|postgres_fe\.h", {"postgres"}),
    (r"duckdb\.h(pp)?", {"duck"}),
    (r"yaml-cpp/", {"config"}),
    (r"boost/", {"server"}),
    (r"openssl/", {"server"}),
    (r"CLI/", {"cli"}),
    (r"lz4\w*\.h|zstd\.h", {"log"}),
    (r"spdlog/", {"base"}),
    (r"curl/", {"cli", "sinks"}),
    (r"librdkafka/", {"kafka"}),
    (r"fcntl\.h|sys/stat\.h|sys/statvfs\.h|sys/wait\.h|spawn\.h", {"io"}),
]


def read_table(text):
    allowed, errors = {}, []
    for row in text.splitlines():
        name, _, deps = row.partition(":")
        unknown = set(deps.split()) - set(allowed)
        if unknown:
            errors.append(f"layers: {name} depends on {sorted(unknown)}, which do not stand above it")
        allowed[name] = {name, *deps.split()}
    return allowed, errors


def check_file(path, module, lines, allowed):
    errors = []
    for number, line in enumerate(lines, 1):
        ours = re.match(r'\s*#\s*include\s+"([a-z_]+)/(\w+)', line)
        if ours and ours[1] in allowed:
            if ours[1] not in allowed.get(module, ()):
                errors.append(f"{path}:{number}: {module} may not include {ours[1]}")
            elif ours[1] != module and ours[2].endswith("_internal"):
                errors.append(f"{path}:{number}: {ours[1]}/{ours[2]}.h is private to {ours[1]}")
        outside = re.match(r'\s*#\s*include\s+[<"]([^">]+)[>"]', line)
        if outside:
            for pattern, owners in OWNERS:
                if re.match(f"(?:{pattern})", outside[1]) and module not in owners:
                    errors.append(
                        f"{path}:{number}: only {' and '.join(sorted(owners))} may include {outside[1]}"
                    )
    return errors


def main(table, root):
    allowed, errors = read_table(pathlib.Path(table).read_text())
    root = pathlib.Path(root)
    for path in sorted([*root.rglob("*.h"), *root.rglob("*.cc")]):
        module = path.relative_to(root).parts[0]
        if module not in allowed:
            errors.append(f"{path}: no add_module() for the folder {module}")
            continue
        errors += check_file(path, module, path.read_text().splitlines(), allowed)
    print("\n".join(errors) or "layers are clean")
    return bool(errors)


if __name__ == "__main__":
    project = pathlib.Path(__file__).resolve().parent.parent
    given = sys.argv[1:] or [project / "build/dev/layers.txt", project / "src"]
    sys.exit(main(*given))
