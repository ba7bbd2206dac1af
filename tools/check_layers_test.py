#!/usr/bin/env python3
"""check_layers.py finds each kind of fault when it is planted, and nothing in a clean tree."""
import pathlib
import tempfile
import unittest

import check_layers

TABLE = "base: \nio: base\npostgres: base io\nduck: base\n"


def faults(table=TABLE, **files):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "layers.txt").write_text(table)
        for name, text in files.items():
            module, _, stem = name.partition("__")
            (root / "src" / module).mkdir(parents=True, exist_ok=True)
            (root / "src" / module / f"{stem}.cc").write_text(text)
        (root / "src").mkdir(exist_ok=True)
        return check_layers.main(root / "layers.txt", root / "src")


class CheckLayers(unittest.TestCase):
    def test_clean_tree_passes(self):
        self.assertFalse(faults(io__a='#include "base/result.h"\n', postgres__b="#include <libpq-fe.h>\n"))

    def test_upward_include_is_a_fault(self):
        self.assertTrue(faults(base__a='#include "io/fs.h"\n'))

    def test_sideways_include_is_a_fault(self):
        self.assertTrue(faults(duck__a='#include "io/fs.h"\n'))

    def test_private_header_is_a_fault(self):
        self.assertTrue(faults(io__a='#include "base/result_internal.h"\n'))

    def test_row_that_names_a_later_row_is_a_fault(self):
        self.assertTrue(faults(table="base: io\nio: \n"))

    def test_library_outside_its_folder_is_a_fault(self):
        self.assertTrue(faults(io__a="#include <libpq-fe.h>\n"))
        self.assertTrue(faults(base__a='#include "duckdb.h"\n'))

    def test_folder_without_module_is_a_fault(self):
        self.assertTrue(faults(other__a="\n"))


if __name__ == "__main__":
    unittest.main()
