"""The names that ctrkit.records offers, loaded on first use."""

from __future__ import annotations

import importlib
import subprocess
import sys

import ctrkit.records


def test_importing_the_module_of_prepare_does_not_hide_the_function() -> None:
    importlib.import_module("ctrkit.records.prepare")
    assert callable(ctrkit.records.prepare)


def test_the_package_itself_imports_nothing_heavy() -> None:
    program = (
        "import sys, ctrkit.records\n"
        "assert not {'numpy', 'tensorflow', 'polars', 'google_crc32c'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_preparing_needs_no_tensorflow() -> None:
    program = "import sys; from ctrkit.records import prepare, Prepared\nassert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
