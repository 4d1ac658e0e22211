"""Sessions without benchmarks are left alone."""

from __future__ import annotations

import re

import pytest

from optsuite.plugin import _options


@pytest.fixture
def ordinary(pytester):
    pytester.makepyfile("""
        import pytest

        @pytest.mark.parametrize("name", ["a-b_R1-c", "x"])
        def test_it(name):
            assert name
    """)
    return pytester


def run(pytester, *args):
    return pytester.runpytest_inprocess("-p", "no:hypothesispytest", *args)


def test_the_plugin_adds_nothing_to_the_output(ordinary):
    result = run(ordinary)
    result.assert_outcomes(passed=2)
    lines = [line for line in result.outlines if not line.startswith(("plugins:", "rootdir:"))]
    assert not [line for line in lines if "optsuite" in line or "curves" in line or "archive" in line]

    def plain(lines):
        return [re.sub(r"in [\d.]+s", "", line) for line in lines if not line.startswith("plugins:")]

    assert plain(result.outlines) == plain(run(ordinary, "-p", "no:optsuite").outlines)


HEAVY = ("torch", "numpy", "pandas", "seaborn", "matplotlib", "fsspec", "dask", "distributed", "jinja2")
NAMING = f"""
import pathlib
import sys


def pytest_unconfigure(config):
    assert "optsuite.plugin" in sys.modules
    heavy = [name for name in {HEAVY} if name in sys.modules]
    pathlib.Path(__file__).with_name("heavy.txt").write_text(" ".join(heavy))
"""


def test_the_plugin_imports_nothing_heavy(ordinary):
    ordinary.makeconftest(NAMING)
    ordinary.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=2)
    assert (ordinary.path / "heavy.txt").read_text() == ""


def test_bad_options_do_not_disturb_them(ordinary):
    ordinary.makeini("[pytest]\noptsuite_tasks = Nope\n")
    run(ordinary, "--opt-device=toaster").assert_outcomes(passed=2)


def test_help_lists_every_option_and_ini_name(ordinary):
    result = run(ordinary, "--help")
    result.stdout.fnmatch_lines(["optimizer benchmarks:"])
    words = set(re.findall(r"[\w-]+", result.stdout.str()))
    assert {f"--opt-{name.replace('_', '-')}" for name in _options.OPTIONS} | {"--opt-plan"} <= words
    assert {f"optsuite_{name}" for name in _options.OPTIONS} <= words
