"""The public list: names, docstrings, and what importing them costs."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types

import pytest

import optsuite

# Section 3 of the design as far as it is built, and the types and errors that go with it.
PUBLIC = {
    *("Config", "Curve", "Family", "HParamSet", "Schedule", "Task", "Trial"),
    *("DataError", "HParamError", "OptsuiteError", "OutOfMemoryError", "StorageError", "UnknownNameError"),
    "UnsupportedError",
    *("get_task", "list_tasks", "register_task"),
    *("get_hparam_set", "list_hparam_sets", "lr_grid", "register_family"),
    *("get_optimizer", "list_optimizers", "optimizers", "register_optimizer"),
    *("train", "train_many"),
    *("load_baseline_results", "load_baseline_results_from_dir"),
    *("delete_archive", "list_hparam_sets_for_task", "load_archive", "write_archive"),
    *("archive_table", "curves_table", "summary_table", "normalizers", "vis"),
}

HEAVY = ("seaborn", "pandas", "dask", "pytest", "_pytest", "torchvision", "scipy", "matplotlib")


def test_the_list_is_the_one_that_was_agreed():
    assert set(optsuite.__all__) == PUBLIC
    assert list(optsuite.__all__) == sorted(optsuite.__all__)


def test_every_public_attribute_is_on_the_list():
    """Modules of the package become its attributes as they are imported; they are internal."""
    present = {
        name
        for name, value in vars(optsuite).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    lazy = {"archive_table", "curves_table", "summary_table"}
    assert present | lazy | {"optimizers", "normalizers", "vis"} == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_name_has_a_docstring(name):
    text = getattr(optsuite, name).__doc__
    assert text
    assert not text.startswith(f"{name}(")  # a dataclass's own signature


@pytest.mark.parametrize("name", sorted(optsuite.optimizers.__all__))
def test_every_optimizer_has_a_docstring(name):
    value = getattr(optsuite.optimizers, name)
    if inspect.isfunction(value) or inspect.isclass(value):
        assert value.__doc__


def test_importing_it_brings_in_nothing_heavy():
    program = f"import sys, optsuite; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
