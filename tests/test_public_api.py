"""The public list: names, where they come from, docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import optsuite

# Section 3 of the design as far as it is built, and the types and errors that go with it.
PUBLIC = {
    *("Config", "Curve", "Family", "HParamSet", "Schedule", "Task", "Trial"),
    *("DataError", "HParamError", "OptsuiteError", "OutOfMemoryError", "StorageError", "UnknownNameError"),
    "UnsupportedError",
    *("get_task", "list_tasks", "register_task"),
    *("get_hparam_set", "list_hparam_sets", "lr_grid", "register_family"),
    "register_checkpoint",
    *("get_optimizer", "list_optimizers", "optimizers", "register_optimizer"),
    *("Suite", "get_suite", "list_suites", "register_suite"),
    *("train", "train_many", "verify"),
    *("load_baseline_results", "load_baseline_results_from_dir"),
    *("delete_archive", "list_hparam_sets_for_task", "load_archive", "write_archive"),
    *("archive_table", "curves_table", "summary_table", "normalizers", "vis"),
}


def test_the_list_is_the_one_that_was_agreed():
    assert set(optsuite.__all__) == PUBLIC
    assert list(optsuite.__all__) == sorted(optsuite.__all__)


def test_every_name_is_fetched_from_the_module_that_type_checkers_see():
    """The package has two lists of where its names are: one for tools, which do not run it, and its own."""
    (block,) = (
        node for node in ast.parse(Path(optsuite.__file__).read_text()).body if isinstance(node, ast.If)
    )
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert set(seen) == PUBLIC
    for name, module in seen.items():
        fetched = optsuite.__getattr__(name)
        assert fetched is getattr(importlib.import_module(module), name)
        assert getattr(optsuite, name) is fetched


def test_what_is_not_public_is_no_attribute():
    with pytest.raises(AttributeError, match="`optsuite` has no attribute `Adam`"):
        _ = optsuite.Adam


def test_completion_offers_every_name():
    assert set(dir(optsuite)) >= PUBLIC


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
