"""--opt-optimizer: any optimizer class joins the matrix without a line of code."""

from __future__ import annotations

import json

import pytest

from optsuite.storage import read_npz

from .conftest import EXTENSIONS, read_curves, text
from .test_opt_preset import sets_of

NADAM = "--opt-optimizer=torch.optim:NAdam"

OWN = """
import torch


class Mine(torch.optim.SGD):
    def step(self, closure=None):
        if self.param_groups[0]["lr"] == 0.01:
            raise ArithmeticError("not my rate")
        super().step()
"""


@pytest.fixture
def own_file(bench):
    (bench.path / "lib").mkdir()
    (bench.path / "lib" / "own.py").write_text(OWN)


def test_a_class_joins_the_matrix_with_the_learning_rate_grid(bench):
    ids = bench.ids(NADAM, "--opt-preset=quick", sets=None)
    assert {"NAdamLR_200_R2", "AdamLR_200_R2", "TinyLR_200_R2"} <= sets_of(ids)
    labels = [name.split("-", 2)[2] for name in ids if "-NAdamLR_" in name]
    assert (len(labels), labels[0], labels[8], labels[14]) == (
        15,
        "NAdam_lr1e-07",
        "NAdam_lr0.001",
        "NAdam_lr1",
    )


def test_under_full_it_is_as_long_as_most(bench):
    ids = bench.ids(NADAM, "--opt-preset=full", sets="NAdam*")
    assert sets_of(ids) == {"NAdamLR_10000_R5"}


def test_its_sets_are_narrowed_and_resized_as_others(bench):
    assert sets_of(bench.ids(NADAM, "--opt-reps=1", sets="NAdamLR_7_R2")) == {"NAdamLR_7_R1"}


def test_the_marker_selects_it(bench):
    ids = bench.ids(NADAM, "--opt-preset=quick", "-m", "optsuite(opt='NAdam')", sets=None)
    assert sets_of(ids) == {"NAdamLR_200_R2"}


def test_it_trains_records_and_archives(bench):
    result = bench.run(NADAM, sets="NAdamLR_10_R2")
    result.assert_outcomes(passed=15)
    assert "complete cells archived: 1" in text(result)
    assert len(bench.labels()) == 15
    curve = next(iter(read_curves(bench.path).values()))
    assert json.loads(str(curve["gin_operative_config"]))["optimizer"] == "torch.optim:NAdam"
    again = bench.run(NADAM, sets="NAdamLR_10_R2")
    assert "0 trials to train, 30 recorded already" in text(again)


def test_several_are_several_families(bench):
    more = ["--opt-optimizer=torch.optim:ASGD", "--opt-optimizer=torch.optim:SGD(momentum=0.9,nesterov=True)"]
    ids = bench.ids(NADAM, *more, "--opt-preset=quick", sets="*200_R2")
    named = {"NAdamLR_200_R2", "ASGDLR_200_R2", "SGD_momentum0_9_nesterovTrueLR_200_R2"}
    assert named <= sets_of(ids)


def test_a_name_can_be_given(bench):
    option = "--opt-optimizer=TorchAdam=torch.optim:Adam(betas=(0.9, 0.95))"
    result = bench.run(option, "-k", "lr0.001", sets="TorchAdamLR_10_R1")
    result.assert_outcomes(passed=1)
    assert bench.labels() == {"TorchAdam_lr0.001"}
    (curve,) = map(read_npz, map(str, bench.curve_files))
    hparams = json.loads(str(curve["gin_operative_config"]))["hparams"]
    assert hparams == {"lr": 0.001, "betas": [0.9, 0.95]}


@pytest.mark.usefixtures("own_file")
def test_a_class_of_a_file_joins_and_what_it_raises_is_of_its_own_item(bench):
    result = bench.run("--opt-optimizer=lib/own.py:Mine", sets="MineLR_10_R2")
    result.assert_outcomes(passed=14, failed=1)
    assert "not my rate" in text(result)
    assert "own.py" in text(result)  # the traceback leads there
    assert bench.labels().isdisjoint({"Mine_lr0.01"})


LEARNED = """
import torch


class Learned(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01, num_steps=None, hf_key="weights"):
        super().__init__(params, {"lr": lr})
        self.num_steps, self.network = num_steps, torch.nn.Linear(2, 1)
        torch.nn.init.constant_(self.network.weight, 0.1)

    @torch.no_grad()
    def step(self, loss):
        with open(f"told_{self.num_steps}.txt", "a") as file:
            print(float(loss), file=file)
        for group in self.param_groups:
            for param in group["params"]:
                features = torch.stack([param.grad, loss.expand_as(param)], -1)
                param.addcmul_(param.grad, self.network(features)[..., 0].exp(), value=-group["lr"])
"""


def test_a_learned_optimizer_is_told_the_loss_and_the_number_of_steps(bench):
    (bench.path / "learned.py").write_text(LEARNED)
    result = bench.run("--opt-optimizer=learned.py:Learned", "-k", "lr0.001", sets="LearnedLR_10_R1")
    result.assert_outcomes(passed=1)
    (curve,) = read_curves(bench.path).values()
    told = [float(line) for line in (bench.path / "told_11.txt").read_text().splitlines()]
    assert told == curve["train/loss"].tolist()
    assert json.loads(str(curve["gin_operative_config"]))["hparams"] == {"lr": 0.001}


def test_the_ini_file_separates_them_by_spaces(bench):
    bench.pytester.makeini(
        "[pytest]\noptsuite_optimizer = torch.optim:NAdam torch.optim:SGD(momentum=0.9)\n  torch.optim:ASGD\n"
    )
    sets = sets_of(bench.ids("--opt-preset=quick", sets="*200_R2"))
    assert {"NAdamLR_200_R2", "SGD_momentum0_9LR_200_R2", "ASGDLR_200_R2"} <= sets
    sets = sets_of(bench.ids("--opt-preset=quick", "--opt-optimizer=torch.optim:Rprop", sets="*200_R2"))
    assert "RpropLR_200_R2" in sets
    assert "NAdamLR_200_R2" not in sets


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            "torch.optim:Adam",
            "`torch.optim:Adam` would make the family `AdamLR`, but `AdamLR` is another optimizer's: "
            "give it a name of its own, e.g. `MyAdam=torch.optim:Adam`",
        ),
        ("torch.optim:RMSprop", "would make the family `RMSpropLR`, but `RMSPropLR` is another optimizer's"),
        ("torch.optim:LBFGS", "`torch.optim:LBFGS` cannot step without a closure"),
        ("torch.optim:Nadam", "`torch.optim:Nadam` does not exist: did you mean NAdam"),
        ("no.such:Mine", "cannot import `no.such` (ModuleNotFoundError: No module named 'no'"),
        ("torch.optim:NAdam(lr=0.1)", "sets `lr`, which is what the configs of its family differ in"),
        ("torch.optim:NAdam(rho=1)", "has no argument `rho`"),
        ("NAdam", "an optimizer is MODULE:CLASS or MODULE:CLASS(ARGUMENT=VALUE, ...) (got `NAdam`)"),
    ],
)
def test_what_cannot_be_used_ends_the_session_in_words(bench, value, words):
    """Whichever sets are asked for."""
    result = bench.run(f"--opt-optimizer={value}")
    assert words in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert bench.results() == []


def test_two_classes_of_one_name_do_not_mix(bench, own_file):
    (bench.path / "lib" / "own.py").write_text("from torch.optim import SGD\nclass NAdam(SGD): pass\n")
    result = bench.run(NADAM, "--opt-optimizer=lib/own.py:NAdam")
    assert "give it a name of its own, e.g. `MyNAdam=lib/own.py:NAdam`" in text(result)
    ids = bench.ids(NADAM, NADAM, "--opt-optimizer=MyNAdam=lib/own.py:NAdam", sets="*NAdamLR_200_R2")
    assert sets_of(ids) == {"NAdamLR_200_R2", "MyNAdamLR_200_R2"}


REGISTERING = """
from optsuite import Family, lr_grid, register_family, register_optimizer
from optsuite.optimizers import chain, scale_by_lr, trace


def heavy_ball(lr, *, inertia=0.9):
    return chain(trace(inertia), scale_by_lr(lr))


register_optimizer("HeavyBall", heavy_ball)
register_family(Family("HeavyBallLR", "HeavyBall", lr_grid("HeavyBall", "HeavyBall", inertia=0.8)))
nesterov = lr_grid("Nesterov", "torch.optim:SGD", momentum=0.9, nesterov=True)
register_family(Family("NesterovLR", "Nesterov", nesterov))
"""


@pytest.mark.parametrize("opt", ["HeavyBall", "Nesterov"])
def test_a_conftest_registers_optimizers_and_families(bench, opt):
    bench.pytester.makeconftest(EXTENSIONS + REGISTERING)
    bench.run("-k", "lr0.001", sets=f"{opt}LR_10_R2").assert_outcomes(passed=1)
    assert bench.labels() == {f"{opt}_lr0.001"}


def test_what_cannot_be_used_ends_a_session_with_workers(bench):
    pytest.importorskip("xdist")
    result = bench.run("--opt-optimizer=torch.optim:Nadam", "-n1")
    assert "INTERNALERROR" not in text(result)
    assert "`torch.optim:Nadam` does not exist: did you mean NAdam" in text(result)
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.INTERNAL_ERROR)


@pytest.mark.usefixtures("own_file")
def test_the_workers_of_xdist_know_them_too(bench):
    pytest.importorskip("xdist")
    options = ["--opt-steps=10", NADAM, "--opt-optimizer=NAdam2=lib/own.py:Mine"]
    result = bench.run("-n1", "-k", "lr0.1", *options, sets="NAdam*")
    result.assert_outcomes(passed=2)
    assert "4 trials to train" in text(result)
    assert bench.labels() == {"NAdam_lr0.1", "NAdam2_lr0.1"}


@pytest.mark.parametrize("args", [(), ("-n1",), ("--opt-backend=process", "--opt-workers=1")], ids=str)
def test_a_file_in_a_folder_of_any_name_imports_what_lies_beside_it(bench, args):
    """In every process that trains."""
    if "-n1" in args:
        pytest.importorskip("xdist")
    folder = bench.path / "my opts (new)" / "sub=1"
    folder.mkdir(parents=True)
    (folder / "helpers.py").write_text("from torch.optim import SGD as Base\n")
    (folder / "own.py").write_text("from helpers import Base\nclass Mine(Base): ...\n")
    option = "--opt-optimizer=my opts (new)/sub=1/own.py:Mine(momentum=0.9)"
    options = bench.args(option, "-k", "lr0.001", *args, sets="Mine_momentum0_9LR_10_R1")
    result = bench.pytester.runpytest_subprocess("-p", "no:hypothesispytest", *options)
    result.assert_outcomes(passed=1)
    assert bench.labels() == {"Mine_momentum0_9_lr0.001"}


def test_a_class_that_fits_no_task_is_refused_before_anything_trains(bench):
    result = bench.run("--opt-optimizer=Theirs=torch.optim:Muon", sets="TheirsLR_10_R2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "`torch.optim:Muon` takes matrices only, and `" in text(result)
    assert not bench.curve_files
    planned = bench.run("--opt-plan", "--opt-optimizer=Theirs=torch.optim:Muon", sets="TheirsLR_10_R2")
    assert "no plan: `torch.optim:Muon` takes matrices only, and `" in text(planned)
