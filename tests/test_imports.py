"""Imports that take seconds are made when they are needed, and not before."""

from __future__ import annotations

import argparse
import inspect
import subprocess
import sys

import pytest

from optsuite.cli import _commands

SELDOM_NEEDED = (
    "PIL",
    "dask",
    "distributed",
    "jinja2",
    "matplotlib",
    "msgpack",
    "pandas",
    "pyarrow",
    "pytest",
    "scipy",
    "seaborn",
    "sentencepiece",
    "torchvision",
)
HEAVY = ("fsspec", "numpy", "torch", *SELDOM_NEEDED)


def imported(program, modules):
    """Return which of the given modules a program imports."""
    code = f"import sys\n{program}\nprint('imported:', *[name for name in {modules} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].removeprefix("imported:").split()


def commands(parser):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from commands(command) if command._subparsers else [command]


@pytest.mark.parametrize(
    "program",
    [
        "import optsuite; dir(optsuite)",
        "import optsuite; optsuite.DataError",
        "import optsuite.choices, optsuite._arguments",
    ],
)
def test_the_package_and_its_errors_import_nothing_heavy(program):
    assert imported(program, HEAVY) == []


@pytest.mark.parametrize(
    "words", [["--help"], ["table", "--nonsense"], ["data", "--help"], ["--print-completion", "bash"]]
)
def test_a_command_that_runs_nothing_imports_nothing_heavy(words):
    program = f"from optsuite.cli import main\ntry: main({words})\nexcept SystemExit: pass"
    assert imported(program, HEAVY) == []


@pytest.mark.parametrize("words", [["tasks", "--operations"], ["data", "list"], ["data", "path", "cifar10"]])
def test_a_list_of_tasks_or_data_imports_nothing_heavy(words):
    assert imported(f"from optsuite.cli import main\nmain({words})", HEAVY) == []


def test_a_list_of_suites_imports_no_torch():
    """It reads the index of the packaged baselines through the storage."""
    program = "from optsuite.cli import main\nmain(['suites'])"
    assert imported(program, ("torch", *SELDOM_NEEDED)) == []


@pytest.mark.parametrize("command", list(commands(_commands.make_parser())), ids=lambda command: command.prog)
def test_help_imports_nothing_heavy(command):
    words = [*command.prog.split()[1:], "--help"]
    program = f"from optsuite.cli import main\ntry: main({words})\nexcept SystemExit: pass"
    assert imported(program, HEAVY) == []


def test_training_imports_no_package_that_few_runs_need():
    assert imported("import optsuite; optsuite.train; optsuite.load_archive", SELDOM_NEEDED) == []


@pytest.mark.parametrize("command", list(commands(_commands.make_parser())), ids=lambda command: command.prog)
def test_every_command_has_a_function(command):
    """The function is looked up when its command runs, so a wrong name would be found by users."""
    function = _commands.function_of(argparse.Namespace(run=command.get_default("run")))
    assert inspect.isfunction(function)
    assert len(inspect.signature(function).parameters) == 1
