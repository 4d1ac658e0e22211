"""On a GPU curves are those of the CPU but for rounding, and the same bits in every run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from optsuite import trainer
from optsuite.hparam_sets import Config, Schedule, Trial
from optsuite.optimizers._inverse_root import inverse_root
from optsuite.tasks import get_task
from optsuite.trainer import group_by_spec, split_into_grids, trial_bytes
from optsuite.trainer._batches import Batches
from optsuite.trainer._grid import How
from optsuite.trainer._programs import Programs
from optsuite.trainer._reproducible import reproducible

from .keepers import Memory
from .runs import RECURRENT, TINY, adam, assert_close, assert_identical, nadam, sgd, trials_of

GPU = "cuda"

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

SHORT = Schedule(6, eval_every=3, eval_batches=1, last_eval_batches=2)
FAMILIES = [
    "ImageMLP_FashionMnist8_Relu32",
    "ImageMLP_Cifar10_128x128_Dropout02_Relu_MSE",
    "ImageMLPAE_FashionMnist_128x32x128_bs128",
    "Conv_Cifar10_8_16x32",
    "Resnet_MultiRuntime_0",
    "VIT_Cifar100_skinnydeep",
    "RNNLM_lm1bbytes_Patch32_VanillaRNN128_Embed64",
    "RNNLM_lm1bbytes_Patch32_GRU128_Embed64",
    "RNNLM_lm1bbytes_Patch32_LSTM128_Embed64",
    "TransformerLM_LM1B_MultiRuntime_0",
    "ESWrapped_1pair_ImageMLP_FashionMnist8_Relu32",
    "LOptPES_Adafac_Fashion_OuterBS4_Length50_Trunc5",
]
CONFIGS = {
    "rule": [adam(1e-3), adam(1e-2)],
    "class": [nadam(1e-3), nadam(1e-2)],
    "roots": [Config(f"Shampoo_lr{lr}", "Shampoo", {"lr": lr}) for lr in (1e-3, 1e-2)],
    "bases": [Config(f"SOAP_lr{lr}", "SOAP", {"lr": lr}) for lr in (1e-3, 1e-2)],
}


def curves_of(task, trials, *, device=GPU, is_compiled=False, keeper=trainer.Unkept):
    """Train trials of one program in one group, compiled or not; gives curves by trial."""
    where = {"mode": "synthetic", "device": device}
    groups = trainer.make_groups(task, trials, **where)
    forced = [group._replace(layout=group.layout._replace(is_compiled=is_compiled)) for group in groups]
    outcomes = list(trainer.run(task, [(group, keeper()) for group in forced], **where))
    for outcome in outcomes:
        if isinstance(outcome.result, Exception):
            raise outcome.result
    return {outcome.trial: outcome.result for outcome in outcomes}


@pytest.mark.parametrize("name", FAMILIES)
def test_curves_of_a_family_are_those_of_the_cpu_and_of_the_next_run(name):
    task = get_task(name)
    trials = trials_of([sgd(1e-3), sgd(1e-2)], (0, 1), SHORT, task)
    expected = curves_of(task, trials, device="cpu")
    actual, again = curves_of(task, trials), curves_of(task, trials)
    for trial in trials:
        assert_close(actual[trial], expected[trial], rtol=2e-3)
        assert_identical(again[trial], actual[trial])


@pytest.mark.parametrize("kind", CONFIGS)
def test_curves_of_an_optimizer_are_those_of_the_cpu_and_of_the_next_run(kind):
    trials = trials_of(CONFIGS[kind], (0, 1), SHORT)
    expected = curves_of(TINY, trials, device="cpu")
    actual, again = curves_of(TINY, trials), curves_of(TINY, trials)
    for trial in trials:
        assert_close(actual[trial], expected[trial], rtol=1e-2)
        assert_identical(again[trial], actual[trial])


@pytest.mark.parametrize("task", [TINY, RECURRENT], ids=["images", "text"])
def test_a_compiled_run_agrees_with_an_eager_one(task):
    trials = trials_of([adam(1e-3), adam(3e-3)], schedule=SHORT, task=task)
    eager = curves_of(task, trials)
    compiled, again = (curves_of(task, trials, is_compiled=True) for _ in range(2))
    for trial in trials:
        assert_close(compiled[trial], eager[trial], rtol=1e-3)
        assert_identical(again[trial], compiled[trial])


@pytest.mark.parametrize("kind", ["rule", "class"])
def test_a_run_that_goes_on_from_a_file_is_the_same(kind):
    schedule = Schedule(70, eval_every=20, eval_batches=1, last_eval_batches=2)
    trials = trials_of(CONFIGS[kind], (0, 1), schedule)
    expected, keeper = curves_of(TINY, trials), Memory()
    curves_of(TINY, trials, keeper=lambda: keeper)  # saves as it goes, and ends
    assert keeper.saves
    resumed = curves_of(TINY, trials, keeper=lambda: keeper)
    assert keeper.loads == 1
    assert not keeper.reasons
    for trial, curve in resumed.items():
        assert_identical(curve, expected[trial])


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
@pytest.mark.parametrize("name", ["Conv_Cifar10_8_16x32", "RNNLM_lm1bbytes_Patch32_GRU128_Embed64"])
def test_other_precisions_train_to_about_the_same_losses(name, precision):
    if precision == "tf32" and not torch.cuda.is_tf32_supported():
        pytest.skip("no tf32 on this device")
    task = get_task(name)
    trials = [Trial(name, sgd(1e-2), SHORT, 0, kind) for kind in ("float32", precision)]
    exact, rounded = (curve["train/loss"] for curve in curves_of(task, trials).values())
    assert not np.array_equal(exact, rounded)
    np.testing.assert_allclose(rounded, exact, rtol=0.05)


@pytest.mark.parametrize("name", ["ImageMLP_FashionMnist_Relu128x128", "Conv_Cifar10_8_16x32"])
def test_memory_is_what_was_estimated(name):
    """Uncompiled, at most twice as much or a fifth, the data left out."""
    task = get_task(name)
    trials = trials_of([adam(lr) for lr in (1e-4, 1e-3, 1e-2)], range(8), SHORT, task)
    curves_of(task, trials)
    before = torch.cuda.memory_allocated()
    curves = curves_of(task, trials)
    used = int(next(iter(curves.values()))["peak_memory_bytes"]) - before
    assert len(trials) * trial_bytes(task) / 5 < used < 2 * len(trials) * trial_bytes(task)


@pytest.mark.parametrize("order", [2, 4])
def test_roots_are_those_of_the_cpu(order):
    factors = torch.randn(3, 64, 80, generator=torch.Generator().manual_seed(0))
    matrices = factors @ factors.mT
    (expected, _), (actual, are_good) = inverse_root(matrices, order), inverse_root(matrices.to(GPU), order)
    assert are_good.all()
    torch.testing.assert_close(actual.cpu(), expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", [FAMILIES[0], FAMILIES[3], FAMILIES[7], FAMILIES[9]])
def test_torch_sees_nobody_wait_within_a_block(name):
    """As `test_waits` shows without one."""
    task, device = get_task(name), torch.device(GPU)
    ((spec, trials),) = group_by_spec(trials_of([adam(1e-3), adam(1e-2)], (0, 1), SHORT, task))
    (grid,) = split_into_grids(trials, 4)
    program = Programs(task, spec, device, How(is_compiled=False))(grid.shape)
    with reproducible(device):
        trained, hparams = program.start(grid), program.hparams(grid)
        batches = list(Batches(program, grid, "train", "train", "synthetic").block(0, 4))
        (chunk,) = Batches(program, grid, "test", "eval/test", "synthetic").chunks(0, 1, 1)
        for number, (batch, key) in enumerate(batches):
            torch.cuda.set_sync_debug_mode("error" if number else "default")  # once all is loaded
            try:
                program.functions.evaluate(program.params_to_evaluate(trained, hparams), (), *chunk)
                trained, _ = program.step(trained, hparams, batch, key)
            finally:
                torch.cuda.set_sync_debug_mode("default")
