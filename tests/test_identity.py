"""A trial is what determines its curve: its facts, of which its id is the hash."""

from __future__ import annotations

import copy
import importlib
import json
import sys
from dataclasses import replace

import pytest

from optsuite import data, tasks
from optsuite.errors import RemoteError
from optsuite.hparam_sets import Config, Schedule, Trial, check_facts, facts_of, ids_of, trial_id
from optsuite.tasks import get_task, identity_of, register_task

TASK = "Conv_Cifar10_8_16x32"
TRIAL = Trial(TASK, Config("RMSProp_lr0.1", "RMSProp", {"lr": 0.1, "momentum": 0.5}), Schedule(100), 3)


def test_facts_are_all_that_an_id_is_made_of():
    facts = facts_of(TRIAL, "synthetic")
    assert trial_id(facts) == TRIAL.id("synthetic")
    assert json.loads(json.dumps(facts)) == facts
    assert facts["data"] == data.fingerprint("cifar10", "synthetic")
    assert (facts["task/version"], facts["optimizer/code"]) == (1, "")


def test_the_folder_of_a_file_is_no_part_of_an_id(tmp_path):
    ids = set()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.py").write_text("import torch\nclass Mine(torch.optim.SGD): pass\n")
        config = Config("label", f"{tmp_path}/{folder}/own.py:Mine", {"lr": 0.1})
        ids.add(replace(TRIAL, config=config).id("synthetic"))
    assert len(ids) == 1


def test_a_trial_elsewhere_must_be_the_same():
    facts = facts_of(TRIAL, "synthetic")
    check_facts(TRIAL, "synthetic", facts)
    with pytest.raises(RemoteError, match=r"the content of the dataset of a trial of `RMSProp_lr0\.1` on"):
        check_facts(TRIAL, "synthetic", facts | {"data": "other"})
    with pytest.raises(RemoteError, match=r"`hparams/lr` of a trial .* needed 0\.2, got 0\.1"):
        check_facts(TRIAL, "synthetic", facts | {"hparams/lr": 0.2})
    with pytest.raises(RemoteError, match=r"needed None, got 0\.5"):
        check_facts(TRIAL, "synthetic", {k: v for k, v in facts.items() if k != "hparams/momentum"})


def test_the_code_of_a_config_is_found_anew_in_another_process():
    config = Config("label", "torch.optim:NAdam", {"lr": 0.1})
    assert "code" in vars(config)
    copied = copy.copy(config)  # as pickle does it
    assert "code" not in vars(copied)
    assert (copied, copied.code) == (config, config.code)


def test_ids_are_unknown_where_the_data_are_not(monkeypatch, tmp_path):
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(tmp_path))
    assert ids_of([TRIAL], "real") is None
    assert ids_of([TRIAL], "synthetic") == {TRIAL.id("synthetic")}


LIB = """
import torch
from sizes import WIDTH

class Net(torch.nn.Sequential):
    def __init__(self, width=WIDTH):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(192, width), torch.nn.Linear(width, 10))

def scaled(factor):
    return lambda loss: factor * loss
"""
ENTRY = """
from dataclasses import replace
from functools import partial
from optsuite import get_task, register_task
{imports}

def add(**changes):
    register_task(replace(get_task("Conv_Cifar10_8_16x32"), name="Own", **changes))

add({changes})
"""


@pytest.fixture
def register(tmp_path, monkeypatch):
    """Register a task in a file, as a new process would; give its identity and the id of a trial."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it would hide an edit of the same second and size
    names = ("entry", "lib", "sizes", "unrelated")

    def forget():
        for name in names:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()

    def registered(changes, imports="", lib=LIB, sizes="WIDTH = 16"):
        with monkeypatch.context() as patch:
            patch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
            entry = ENTRY.format(imports=imports, changes=changes)
            for name, text in zip(names, (entry, lib, sizes, f"# {lib}"), strict=True):
                (tmp_path / f"{name}.py").write_text(text)
            forget()
            importlib.import_module("entry")
            return identity_of("Own"), replace(TRIAL, task_name="Own").id("synthetic")

    yield registered
    forget()


def test_a_task_of_this_package_is_known_by_its_version():
    assert identity_of(TASK) == {"version": 1}
    assert identity_of("nobody registered this") == {}


def test_a_task_of_a_file_is_known_by_the_text_of_its_files(register):
    importing = "build=Net", "from lib import Net"
    first, again = register(*importing), register(*importing)
    neighbour, second = register(*importing, sizes="WIDTH = 320"), register(*importing, lib=LIB + "# more")
    assert first == again
    assert len({found[1] for found in (first, neighbour, second)}) == 3


@pytest.mark.parametrize(
    "changes",
    ["normalize_fn=scaled(2)", "build=partial(Net, 8)", "metric_fns={'a': scaled}", "forward=Net().forward"],
)
def test_functions_count_wherever_they_are_held(register, changes):
    """By what holds them, not by the file that registers the task."""
    found = set()
    for lib in (LIB, LIB + "# edited"):
        _, _ = register(changes, "from lib import Net, scaled", lib=lib)
        task = replace(get_task(TASK), name="Own", **_eval(changes))
        found.add(tasks.code_of_functions(tasks._defining(task), "Own").facts)
    (one, other) = found
    assert {fact.partition(" ")[0] for fact in one} >= {"lib.py", "sizes.py"}
    assert one != other


def _eval(changes):
    from functools import partial

    return eval(f"dict({changes})", {"partial": partial, **vars(sys.modules["lib"])})


def test_numbers_count_that_are_no_text_of_a_function(register):
    ids = {register(changes)[1] for changes in ("batch_size=16", "batch_size=17")}
    one, other = (register("**sizes", f"sizes = {{'batch_size': {n}}}")[0] for n in (16, 17))
    assert len(ids) == 2
    assert one["sizes"] != other["sizes"]


def test_edits_can_be_left_to_the_version(register):
    first = register("edits_count=False")
    assert register("edits_count=False", "# edited") == first
    assert register("edits_count=False, version=2", "# edited")[1] != first[1]


def test_a_task_typed_in_is_known_by_its_name_with_a_warning(monkeypatch):
    monkeypatch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
    space = {"task": replace(get_task(TASK), name="Own"), "register_task": register_task}
    exec(
        "task = __import__('dataclasses').replace(task, loss_fn=lambda outputs, batch: outputs.sum())", space
    )
    with pytest.warns(RuntimeWarning, match="`Own` is defined where no text of it can be found"):
        exec("register_task(task)", space)
