"""States of whatever content give a named error, and never a run that is silently another."""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict, deque

import numpy as np
import pytest
import torch

from optsuite import trainer
from optsuite.errors import StoppedError, StorageError, UnsupportedError
from optsuite.hparam_sets import Schedule
from optsuite.trainer import Group
from optsuite.trainer._dump import dump_tree, load_tree
from optsuite.trainer._grid import Grid, How, group_by_spec, split_into_grids
from optsuite.trainer._layouts_file import Layout
from optsuite.trainer._loop import GridRun
from optsuite.trainer._plan import Part, Plan, plan_from, plan_text
from optsuite.trainer._programs import Programs
from optsuite.trainer._reproducible import reproducible
from optsuite.trainer._seal import sealed

from .keepers import WHERE, Memory
from .runs import TINY, adam, assert_identical, nadam, trials_of

CPU = torch.device("cpu")
SCHEDULE = Schedule(6, eval_every=3, eval_batches=1, last_eval_batches=1)
COUNTS = [150, pytest.param(2500, marks=pytest.mark.slow)]
JSONS = [
    *("", "{", "null", "[]", "{}", "0", '"x"', "NaN", "[Infinity]", "1e999", "[" * 10**5, "9" * 5000),
    '{"a": {"tensor": ["trained", "torch.float32", [4611686018427387904], [1], 0, true]}}',
    '{"dict": [["params", {"known": -1}]]}',
    '{"dict": [["params", {"dict": [[[], 1]]}]]}',
    '{"constant": "os.system"}',
    '{"defaultdict": [[], "eval"]}',
    '{"deque": [[], -1]}',
    '{"__enum__": true, "fqn": "os:environ", "name": "x"}',
]
ODD = [
    np.zeros(0),
    np.array(0),
    np.array(-1),
    np.array(2**62),
    np.array(np.nan),
    np.array("x"),
    np.array(["x", "y"]),
    np.zeros((2, 2), np.complex64),
    np.array(b"x"),
    np.array(1, "m8[s]"),
    np.zeros(3, ">f4"),
    np.zeros((3, 2, 2), np.float16),
]


def mutated(arrays, rng, *, with_digests):
    """Change one thing, and perhaps the digests too, as someone might who means harm."""
    changed = dict(arrays)
    name = str(rng.choice(sorted(arrays)))
    array = arrays[name]
    match rng.integers(6):
        case 0:
            del changed[name]
        case 1:
            changed[name] = ODD[rng.integers(len(ODD))]
        case 2:
            changed[name] = np.array(JSONS[rng.integers(len(JSONS))])
        case 3 if array.dtype.kind == "U" and array.shape == ():
            text = list(str(array))
            for _ in range(rng.integers(1, 4)):
                text[rng.integers(len(text))] = str(rng.choice(list('{}[]",:0123456789-eabt\0')))
            changed[name] = np.array("".join(text))
        case 4:
            changed[f"{name}x"] = changed.pop(name)
        case _ if array.nbytes:
            flat = bytearray(array.tobytes())
            flat[rng.integers(len(flat))] ^= 1 << rng.integers(7)
            try:
                changed[name] = np.frombuffer(bytes(flat), array.dtype).reshape(array.shape).copy()
                str(changed[name])
            except ValueError:  # no such character
                return None
    if with_digests:
        changed = sealed({key: array for key, array in changed.items() if key != "digests"})
    return changed


def made(configs, lifting="configs"):
    ((spec, trials),) = group_by_spec(trials_of(configs, (0, 1), SCHEDULE))
    (grid,) = split_into_grids(trials, len(trials))
    return GridRun(Programs(TINY, spec, CPU, How(False, lifting=lifting)), grid, "synthetic")


def is_same(one, other):
    return one.keys() == other.keys() and all(
        (one[key].dtype, one[key].tobytes()) == (other[key].dtype, other[key].tobytes()) for key in one
    )


@pytest.mark.parametrize("with_digests", [False, True], ids=["damaged", "forged"])
@pytest.mark.parametrize("make", [adam, nadam], ids=["rule", "class"])
@pytest.mark.parametrize("count", COUNTS)
def test_a_mutated_state_is_refused_or_is_what_it_says(make, with_digests, count):
    rng = np.random.default_rng([count, with_digests])
    with reproducible(CPU):
        run = made([make(1e-3), make(1e-2)])
        arrays = run.dump(run.advance(run.begin(), 3))
        refused = 0
        for _ in range(count):
            changed = mutated(arrays, rng, with_digests=with_digests)
            if changed is None or is_same(changed, arrays):
                continue
            try:
                state = run.load(changed)
            except StorageError:
                refused += 1
            else:
                assert with_digests
                assert is_same(run.dump(state), changed)
    assert refused > count / 3


def test_a_mutated_checkpoint_of_a_group_is_set_aside_and_trained_anew():
    trials = tuple(trials_of([adam(1e-3)], (0, 1), SCHEDULE))
    group = Group(trials, (), Layout(2, is_compiled=False))
    keeper = Memory()
    expected = {o.trial: o.result for o in trainer.run(TINY, [(group, keeper)], **WHERE)}
    keeper.asks = 1
    with pytest.raises(StoppedError):
        list(trainer.run(TINY, [(group, keeper)], **WHERE))
    arrays, rng = keeper.load(), np.random.default_rng(0)

    class Mutated(Memory):
        def load(self):
            return None if self.reasons else self.changed

    for _ in range(30):
        other = Mutated()
        other.changed = mutated(arrays, rng, with_digests=False)
        if other.changed is None or is_same(other.changed, arrays):
            continue
        outcomes = {o.trial: o.result for o in trainer.run(TINY, [(group, other)], **WHERE)}
        assert len(other.reasons) == 1
        for trial, curve in expected.items():
            assert_identical(outcomes[trial], curve)


def test_a_forged_plan_is_refused():
    """Trials twice, trials left out, trials that are not there, other ways."""
    whole = Grid((0, 1), (adam(1e-3), adam(1e-2)))
    plan = Plan((Part(How(False), Grid((1,), whole.configs)),), (Part(How(True), Grid((0,), whole.configs)),))
    text = plan_text(plan, whole)
    assert plan_from(text, whole) == plan
    pending, ended = (json.loads(text)[name] for name in ("pending", "ended"))
    how, seeds, configs, _ = pending[0]
    odd = [
        {"pending": pending},
        {"pending": [], "ended": ended},
        {"pending": pending, "ended": pending},
        {"pending": pending * 2, "ended": ended},
        {"pending": [[how, [2], configs, False]], "ended": ended},
        {"pending": [[how, [-1], configs, False]], "ended": ended},
        {"pending": [[how, [True], configs, False]], "ended": ended},
        {"pending": [[how, seeds, configs, 0]], "ended": ended},
        {"pending": [[how | {"lifting": "x"}, seeds, configs, False]], "ended": ended},
        {"pending": [[how | {"is_compiled": 1}, seeds, configs, False]], "ended": ended},
        {"pending": [[how | {"more": 1}, seeds, configs, False]], "ended": ended},
        {"pending": [[how, {"0": 1}, configs, False]], "ended": ended},
        {"pending": 3, "ended": ended},
        [],
        "pending",
        None,
    ]
    for fields in odd:
        with pytest.raises(StorageError):
            plan_from(json.dumps(fields), whole)


@pytest.mark.parametrize("node", JSONS)
def test_odd_trees_are_refused_and_run_nothing(node, monkeypatch):
    imported = []
    monkeypatch.setattr("importlib.import_module", imported.append)
    arrays = {"trained": np.array(node), "a": np.zeros(3, np.float32)}
    try:
        value = load_tree(arrays, "trained", CPU)
    except StorageError:
        pass
    else:
        assert isinstance(value, dict | list | int | float | str | None)
    assert imported == []


@pytest.mark.parametrize(
    "place",
    [
        ["a", "torch.float32", [4], [1], 0, True],
        ["a", "torch.float32", [2], [1], 2, True],
        ["a", "torch.float32", [2**62], [2**62], 0, True],
        ["a", "torch.float32", [2], [-1], 1, True],
        ["a", "torch.float32", [-1], [1], 0, True],
        ["a", "torch.float32", [3], [1], -1, True],
        ["a", "torch.float64", [2], [1], 0, True],
        ["a", "torch.nn", [1], [1], 0, True],
        ["a", "torch.float32", [1, 1], [1], 0, True],
        ["a", "torch.float32", [1.0], [1], 0, True],
        ["a", "torch.float32", [10**400], [1], 0, True],
        ["b", "torch.float32", [1], [1], 0, True],
        ["a", "torch.float32"],
    ],
)
def test_tensors_outside_of_their_memory_are_refused(place):
    arrays = {"trained": np.array(json.dumps({"tensor": place})), "a": np.zeros(3, np.float32)}
    with pytest.raises(StorageError):
        load_tree(arrays, "trained", CPU)


def test_numbers_and_containers_come_back_as_they_were():
    tree = {
        "numbers": [1, 2**200, -1.5, float("inf"), float("-inf"), True, None, "words", -0.0],
        "containers": (OrderedDict(a=1), deque([1, 2], 5), defaultdict(list, {3: [4]}), torch.Size([2, 3])),
        4: torch.arange(3.0),
    }
    found = load_tree(dump_tree(tree, "trained"), "trained", CPU)
    assert str(found) == str(tree)
    assert found["containers"][1].maxlen == 5
    assert found["containers"][2].default_factory is list
    nan = load_tree(dump_tree([float("nan")], "trained"), "trained", CPU)
    assert np.isnan(nan[0])


def deep(levels):
    return [deep(levels - 1)] if levels else 0


@pytest.mark.parametrize(
    ("value", "words"),
    [(deep(70), "nested"), (10**400, "digits"), (10**5000, "digits"), (["x" * 2**24], "bytes")],
    ids=["deep", "large", "larger", "long"],
)
def test_what_could_not_be_read_again_is_not_dumped(value, words):
    with pytest.raises(UnsupportedError, match=f"`Mine` keeps too many .*{words}"):
        dump_tree({"x": value}, "trained", owner="Mine")


def test_functions_and_types_are_compared_by_name_and_never_looked_up():
    arrays = dump_tree({"x": torch.float32}, "trained")
    with pytest.raises(StorageError, match=r"torch\.float32"):
        load_tree(arrays, "trained", CPU)
    assert load_tree(arrays, "trained", CPU, fresh={"x": torch.float32}) == {"x": torch.float32}
