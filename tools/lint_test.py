#!/usr/bin/env python3
"""clang-tidy finds a fault in the file that has it, though it looks at several files at once."""
import pathlib
import shutil
import tempfile
import unittest

import lint

CLEAN = "#include <vector>\nnamespace { using std::vector; }\nvector<int> none() { return {}; }"
MOVED = "#include <string>\nstd::string twice(std::string text) {\n  std::string other = std::move(text);\n  return text;\n}"
UNUSED = "#include <vector>\nnamespace { using std::vector; }"
SAME_NAME = "namespace { int two() { return 2; } }\nint four() { return 2 * two(); }"
SAME_NAME_AND_NULL = "namespace { int two() { return 2; } }\nint *null() { return two() == 2 ? 0 : nullptr; }"


def look_at(**files):
    """The names of the files that are clean, and the faults."""
    with tempfile.TemporaryDirectory(prefix="pgweir-lint-") as name:
        folder = pathlib.Path(name)
        shutil.copy(lint.ROOT / ".clang-tidy", folder)
        (folder / "src").mkdir()
        entries = []
        for stem, text in files.items():
            path = folder / "src" / f"{stem}.cc"
            path.write_text(text + "\n")
            entries.append({"directory": str(folder), "file": str(path),
                            "command": f"c++ -std=c++20 -o {stem}.o -c {path}"})
        clean, faults = lint.tidy(entries, folder / "units", 4)
        return sorted(pathlib.Path(entry["file"]).stem for entry in clean), faults


class Tidy(unittest.TestCase):
    def expect(self, files, faulty):
        clean, faults = look_at(**files)
        self.assertEqual(clean, sorted(set(files) - set(faulty)), faults)
        self.assertEqual(len(faults), len(faulty), faults)
        for stem, check in faulty.items():
            self.assertTrue(any(f"{stem}.cc" in fault and check in fault for fault in faults), faults)

    def test_files_without_faults_are_clean(self):
        self.expect({"a": CLEAN.replace("none", "no_a"), "b": CLEAN.replace("none", "no_b")}, {})

    def test_a_fault_is_one_of_its_file_alone(self):
        self.expect({"a": CLEAN, "b": MOVED}, {"b": "bugprone-use-after-move"})

    def test_what_is_seen_in_a_main_file_only_is_seen(self):
        self.expect({"a": CLEAN, "b": UNUSED}, {"b": "misc-unused-using-decls"})

    def test_files_that_define_the_same_name(self):
        self.expect({"a": SAME_NAME, "b": SAME_NAME_AND_NULL}, {"b": "modernize-use-nullptr"})

    def test_what_does_not_compile(self):
        self.expect({"a": CLEAN, "b": "int three() { return }"}, {"b": "clang-diagnostic-error"})


if __name__ == "__main__":
    unittest.main()
