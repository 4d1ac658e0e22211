"""The tables and examples of docs/optimizers.md are those of the code."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from optsuite.hparam_sets import WEIGHT_DECAYS, get_hparam_set
from optsuite.hparam_sets._spaces import SPACES, configs_of, parse_space
from optsuite.optimizers import LEARNED_OPTIMIZERS, OPTIMIZERS, WRAPPERS
from optsuite.tasks import get_task

GUIDE = (Path(__file__).parents[1] / "docs" / "optimizers.md").read_text()
# Those that the guide says in words, or leaves to that of learned optimizers.
OTHERS = ("GradAccum", *LEARNED_OPTIMIZERS)


def section(title):
    return re.search(rf"^## {title}$(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)[1]


def rows(title):
    """First two columns of a section's table, without the backquotes."""
    found = re.findall(r"^\| `(.+?)` \|(.*?)\|", section(title), re.MULTILINE)
    return {name: cell.strip(" `") for name, cell in found}


def written(value):
    """A default as the guide may write it, None for that of a hyperparameter that must be given."""
    if value is inspect.Parameter.empty:
        return None
    return float(value) if isinstance(value, float | int) and not isinstance(value, bool) else value


def read(text):
    """Names and defaults of a row."""
    pairs = (part.partition("=") for part in re.split(r", (?=[a-z])", text) if part)
    return [(name, literal(value) if equals else None) for name, equals, value in pairs]


def literal(text):
    try:
        return float(text)
    except ValueError:
        return ast.literal_eval(text) if text[0] in "(TF" else text


def defaults(hparams):
    return [(name, written(hparam.default)) for name, hparam in hparams.items()]


def test_every_rule_is_there_with_its_defaults():
    documented = {**rows("Rules of the original"), **rows("Newer rules")}
    rules = {
        name: row.hparams
        for name, row in OPTIMIZERS.items()
        if not (name.endswith(OTHERS[0]) or name.startswith(OTHERS[1:]))
    }
    assert set(documented) == set(rules)
    assert {name: read(text) for name, text in documented.items()} == {
        name: defaults(hparams) for name, hparams in rules.items()
    }


def test_every_wrapper_is_there_in_order_with_its_defaults():
    documented = rows("Wrappers")
    assert list(documented) == list(WRAPPERS)
    for name, text in documented.items():
        assert read(text) == defaults(WRAPPERS[name].hparams)


@pytest.mark.parametrize(("name", "num_configs"), list(rows("Names of families").items()))
def test_the_sets_that_the_guide_names_can_be_trained(name, num_configs):
    assert len(get_hparam_set(name).configs) == int(num_configs)


def test_the_decays_are_those_that_the_guide_names():
    assert "weight decays 0, 0.01, 0.1 and 1," in GUIDE
    assert WEIGHT_DECAYS == (0, 0.01, 0.1, 1)


def test_the_named_spaces_are_there():
    blocks = re.findall(
        r"^```(\w*)\n(.*?)^```$", section("Grids and random spaces"), re.MULTILINE | re.DOTALL
    )
    assert dict(blocks)[""].splitlines() == list(SPACES.values())


def test_the_grids_of_the_guide_can_be_trained():
    texts = re.findall(r"grid '\w+=(.*?)'", section("Grids and random spaces"))
    assert [len(configs_of(parse_space(text), "Any")) for text in texts] == [30, 50, 2, 2]


def test_muon_has_a_hidden_matrix_in_the_example():
    (task,) = re.findall(r"optsuite run (\w+) .*Muon\(", section("Grids and random spaces"))
    assert "hidden" in get_task(task).roles.values()


def test_the_python_example_runs():
    (block,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    names = {}
    exec(block, names)
    assert names["wrapped"].optimizer == "AdamW+cosine+clip"
