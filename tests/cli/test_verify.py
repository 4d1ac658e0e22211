"""The command `verify`."""

from __future__ import annotations

import pytest

from optsuite.cli import main


def test_status_and_table_tell_whether_two_optimizers_are_the_same(capsys):
    assert main(["verify", "torch.optim:Adam", "--against", "Adam(eps_root=0.0)", "--steps", "3"]) == 0
    first, head, *rows, scale, verdict = capsys.readouterr().out.splitlines()
    assert first == "torch.optim:Adam(lr=0.001) against Adam(lr=0.001, eps_root=0.0), 3 steps"
    assert head.split() == ["gradients", "float32", "float64"]
    assert len(rows) == 7
    assert scale.endswith("rounding is up to 0.0001")
    assert verdict == "they are the same"
    assert main(["verify", "torch.optim:Adam", "--against", "Adam", "--steps", "3", "--rtol", "0.1"]) == 1
    out = capsys.readouterr().out
    assert "rounding is up to 0.1" in out
    assert out.splitlines()[-1].startswith("they differ in 1 of 7 cases; look first at eps")


FAILING = """
import torch


class Failing(torch.optim.SGD):
    def step(self):
        if hasattr(self, "was_called"):
            raise ValueError("no more")
        self.was_called = True
        super().step()
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["Adm", "--against", "Adam"], "did you mean Adam"),
        (["Adam", "--against", "nowhere.py:Mine"], "cannot import `nowhere.py`"),
        (["Adam", "--against", "Adam", "--rtol", "-1"], "rtol >= 0"),
    ],
)
def test_bad_input_has_a_status_of_its_own(words, told, capsys):
    assert main(["verify", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert told in error


@pytest.mark.parametrize("words", [["Adam"], ["Adam", "--against", "Adam", "--steps", "0"]])
def test_incomplete_commands_have_it_too(words):
    with pytest.raises(SystemExit, match="2"):
        main(["verify", *words])


def test_a_class_that_fails_is_no_difference(tmp_path, capsys):
    path = tmp_path / "own.py"
    path.write_text(FAILING)
    assert main(["verify", f"{path}:Failing", "--against", "SGD"]) == 2
    assert "fails at step 2 of zeros gradients in float32 (ValueError: no more)" in capsys.readouterr().err
