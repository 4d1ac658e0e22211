"""A run that is stopped at any step, dumped and loaded into fresh objects goes on as if nothing had been."""

from __future__ import annotations

import io
import sys
from typing import get_args

import numpy as np
import pytest
import torch

from optsuite.errors import StorageError, UnsupportedError
from optsuite.hparam_sets import Config, Schedule, Trial
from optsuite.optimizers import WRAPPERS
from optsuite.tasks import get_task
from optsuite.trainer import group_by_spec, split_into_grids
from optsuite.trainer._compile import can_compile
from optsuite.trainer._grid import How, Lifting
from optsuite.trainer._lift_mode import CannotLiftError
from optsuite.trainer._loop import GridRun
from optsuite.trainer._programs import Programs
from optsuite.trainer._reproducible import reproducible
from optsuite.trainer._seal import sealed

from .own import OWN, configs_of, own
from .rules import RULES
from .runs import AVERAGED, KINDS, TINY, adam, sgd, trials_of

CPU = torch.device("cpu")
LIFTINGS = get_args(Lifting)
STOPS = (1, 7, 50, 51, 60)
SCHEDULE = Schedule(70, eval_every=20, eval_batches=1, last_eval_batches=2)
ES = get_task(f"ESWrapped_1pair_{TINY.name}")

pytestmark = pytest.mark.usefixtures("own_file")


@pytest.fixture(autouse=True)
def same_arithmetic(own_file, tmp_path):
    with (tmp_path / "own.py").open("a") as file:
        file.write(LEARNED)
    with reproducible(CPU):
        yield


def run_of(configs, task=TINY, seeds=(0, 1), schedule=SCHEDULE, *, is_compiled=False, lifting="configs"):
    """Make fresh objects, for configs or for an own class that is named with its rates."""
    configs = own(*configs) if isinstance(configs, tuple) else configs
    ((spec, trials),) = group_by_spec(trials_of(configs, seeds, schedule, task))
    (grid,) = split_into_grids(trials, len(trials))
    return GridRun(Programs(task, spec, CPU, How(is_compiled, lifting=lifting)), grid, "synthetic")


def stored(arrays):
    """Write arrays to a file and read them back."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    with np.load(io.BytesIO(file.getvalue()), allow_pickle=False) as read:
        return dict(read)


def resealed(arrays):
    """Give arrays that were changed the digests that they have now."""
    return sealed({name: array for name, array in arrays.items() if name != "digests"})


def record_of(run, state):
    """Train to the end."""
    while not run.is_over(state):
        state = run.advance(state)
    return run.finish(state)


def trained(*args, lifting=LIFTINGS, **options):
    """Train in the first of some ways in which this can be done; give the way too."""
    way, *others = lifting
    run = run_of(*args, lifting=way, **options)
    try:
        return way, record_of(run, run.begin())
    except CannotLiftError:
        return trained(*args, lifting=others, **options)


def assert_resumes(*args, stops=STOPS, lifting=LIFTINGS, **options):
    options["lifting"], expected = trained(*args, lifting=lifting, **options)
    run = run_of(*args, **options)
    state = run.begin()
    for stop in stops:
        while state.step < stop and not run.is_over(state):
            state = run.advance(state, stop)
        arrays = stored(run.dump(state))
        torch.manual_seed(stop)
        run = run_of(*args, **options)
        state = run.load(arrays)
    record = record_of(run, state)
    assert_same(record.train_loss_TSH, expected.train_loss_TSH)
    assert record.eval_metrics_ESH.keys() == expected.eval_metrics_ESH.keys()
    for key, metrics in expected.eval_metrics_ESH.items():
        assert_same(record.eval_metrics_ESH[key], metrics)
    assert (record.trial_steps, record.trained_as) == (expected.trial_steps, expected.trained_as)
    assert record.failures.keys() == expected.failures.keys()
    for place, error in expected.failures.items():
        assert str(record.failures[place]) == f"{type(error).__name__}: {error}"
    assert record.seconds > 0
    return expected


def assert_same(actual, expected):
    """Check that arrays are equal bit for bit."""
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual.view(np.int32), expected.view(np.int32))


LEARNED = """

def network():
    made = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    for param in made.parameters():
        param.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(param.numel()))
    return made


class Learned(Rebinding):
    def __init__(self, params, lr, num_steps):
        super().__init__(params, lr)
        self.network, self.num_steps, self.count = network().eval(), num_steps, 0

    def step(self, loss=None):
        self.count, self.loss = self.count + 1, loss
        super().step()

    def update(self, param, lr):
        inputs = torch.stack([param.grad.flatten(), self.loss.expand(param.numel())], -1)
        scale = torch.exp(self.network(inputs).view(param.shape)) * (1 - self.count / (2 * self.num_steps))
        param.data.add_(param.grad * scale, alpha=-lr)


class Trained(Learned):
    \"""Changes weights, buffers, gradients and a plain attribute of its network.\"""

    def __init__(self, params, lr, num_steps):
        super().__init__(params, lr, num_steps)
        self.network.train()
        self.norm = self.network[1]
        self.norm.scale = 1.0

    def step(self, loss):
        super().step(loss)
        last = self.network[2]
        last.weight.data.mul_(1 - 0.01 * loss)
        last.bias.grad = loss.expand(1) if last.bias.grad is None else last.bias.grad + loss
        self.norm.bias.data.add_(last.bias.grad, alpha=1e-3)
        self.norm.scale *= 0.99
        self.norm.weight.data.mul_(self.norm.scale)


class Tied(Learned):
    def __init__(self, params, lr, num_steps):
        super().__init__(params, lr, num_steps)
        self.outside = self.network[0].weight.data

    def step(self, loss):
        self.outside.mul_(0.999)
        super().step(loss)


class Recurrent(Learned):
    \"""Changes a recurrent network, in place and by a new parameter.\"""

    def __init__(self, params, lr, num_steps):
        super().__init__(params, lr, num_steps)
        self.network = None
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.rnn = torch.nn.LSTM(2, 3, proj_size=1)

    def step(self, loss):
        self.rnn.weight_hh_l0.data.mul_(1 - 0.01 * loss)
        self.rnn.bias_hh_l0 = torch.nn.Parameter(self.rnn.bias_hh_l0.detach() + 0.01)
        super().step(loss)

    def update(self, param, lr):
        inputs = torch.stack([param.grad.flatten(), self.loss.expand(param.numel())], -1)
        outputs, _ = self.rnn(inputs.expand(2, -1, -1))  # the second step reads what the first remembers
        param.data.add_(param.grad * outputs[-1].view(param.shape).exp(), alpha=-lr)
"""


CASES = {
    "Adam": ([adam(1e-3), adam(1e-2)],),
    "Adam-alone": ([adam(1e-2)], TINY, (3,)),
    "Adafactor": (configs_of("Adafactor", {}, 1e-3, 1e-2),),
    "AdamGradAccum": (configs_of("AdamGradAccum", {"num_average": 4}, 1e-3, 1e-2),),
    "Prodigy": (configs_of("Prodigy", {"d0": 1e-4}, 1.0),),
    "ScheduleFreeAdamW": (configs_of("ScheduleFreeAdamW", {}, 1e-3, 1e-2),),
    "Shampoo": (configs_of("Shampoo", {"block_size": 32}, 1e-3, 1e-2), TINY, (0,)),
    "evolution": ([adam(1e-3), adam(1e-2)], ES),
    "carry": ([sgd(0.1), sgd(0.3)], AVERAGED),
    "carry-class": (("Averaging", 0.1, 0.3), AVERAGED),
    "dropout": ([adam(1e-3), adam(1e-4)], KINDS["dropout"]),
    "conv": ([adam(1e-3)], KINDS["conv"], (0,)),
    "NAdam": (configs_of("torch.optim:NAdam", {}, 1e-3, 1e-2),),
    "SGD-momentum": (configs_of("torch.optim:SGD", {"momentum": 0.9}, 0.01),),
    "attributes": (("Global", 0.1, 0.3),),
    "modes": (("Averaging", 0.1, 0.3),),
    "noise": (("Noisy", 0.1, 0.3),),
    "counters": (("Fragile", 0.1, 0.25),),
    "half": (("Half", 0.1, 0.3),),
    "parameters": (("OnParameters", 0.1, 0.3),),
    "wrapped": (configs_of("SGDM+wsd+wd+clip+ema+accum", {}, 1e-2, 0.1),),
    "wrapped-class": (configs_of("torch.optim:NAdam+wsd+clip+ema+accum", {}, 1e-3, 1e-2),),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_goes_on_bit_for_bit(case):
    assert_resumes(*CASES[case])


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_goes_on_bit_for_bit(rule):
    configs = [Config("x", rule.name, {**rule.at_lr(0.01), **rule.hparams})]
    assert_resumes(configs, stops=(2, 5), schedule=Schedule(8, eval_every=4, eval_batches=1))


@pytest.mark.parametrize("name", WRAPPERS)
def test_every_wrapper_goes_on_bit_for_bit(name):
    schedule = Schedule(8, eval_every=4, eval_batches=1)
    assert_resumes(configs_of(f"SGDM+{name}", {}, 0.01, 0.1), stops=(2, 5), schedule=schedule)


@pytest.mark.parametrize("lifting", ["seeds", "none"])
@pytest.mark.parametrize("case", ["NAdam", "attributes", "modes", "parameters"])
def test_a_run_of_several_objects_goes_on_bit_for_bit(case, lifting):
    record = assert_resumes(*CASES[case], lifting=[lifting])
    assert record.trained_as.endswith("a trial" if lifting == "none" else "a config")


@pytest.mark.parametrize("name", ["ScheduleFreeAdamW", "Lamb", "SOAP"])
def test_runs_of_published_classes_go_on_bit_for_bit(name):
    """These have modes, scalars that share memory, and matrices of odd strides."""
    pytest.importorskip("pytorch_optimizer")
    assert_resumes(configs_of(f"pytorch_optimizer:{name}", {}, 1e-3, 1e-2))


@pytest.mark.parametrize(
    "configs",
    [[sgd(1e30), sgd(0.1), sgd(1e32), sgd(0.3)], ("Fragile", 1e30, 0.1, 0.25)],
    ids=["pure", "class"],
)
def test_configs_that_were_dropped_stay_so(configs):
    schedule = Schedule(120, eval_every=20, eval_batches=1)
    record = assert_resumes(configs, schedule=schedule, stops=(7, 60, 99, 100, 110))
    assert np.isnan(record.train_loss_TSH[-1, :, 0]).all()
    assert record.trial_steps < 121 * 2 * len(configs)


@pytest.mark.parametrize("stop", [3, 30])
def test_a_run_of_trials_that_have_all_diverged_ends_where_it_would_have(stop):
    assert_resumes([sgd(1e30), sgd(1e32)], stops=(stop,), schedule=Schedule(120, eval_batches=0))


@pytest.mark.parametrize("name", ["Learned", "Trained", "Tied", "Recurrent"])
def test_the_networks_of_optimizers_go_on_bit_for_bit(name):
    """Some configs are dropped after 50 steps."""
    schedule = Schedule(60, eval_batches=0)
    record = assert_resumes((name, 1e30, 0.1), seeds=(0, 1), schedule=schedule, stops=(7, 55))
    assert record.trial_steps < 61 * 4


@pytest.mark.slow
@pytest.mark.skipif(not can_compile("cpu"), reason="no compiler")
@pytest.mark.parametrize("case", ["Adam", "carry", "NAdam"])
def test_a_compiled_run_goes_on_bit_for_bit(case):
    assert_resumes(*CASES[case], stops=(1, 55), is_compiled=True)


def test_what_is_dumped_can_be_read():
    """Names and shapes are those that one expects, and nothing but arrays of numbers and words is there."""
    run = run_of([adam(1e-3), adam(1e-2)])
    arrays = run.dump(run.advance(run.begin(), 5))
    assert arrays["step"] == 5
    assert arrays["losses_TSH"].shape == (71, 2, 2)
    weights = arrays["trained.params['linears.0.weight']"]
    assert (weights.shape, weights.dtype) == ((2, 2, 32, 64), np.float32)
    assert {array.dtype.kind for array in arrays.values()} <= set("fiubU")


def dumped(configs, **options):
    run = run_of(configs, **options)
    return run.dump(run.advance(run.begin(), 3))


@pytest.mark.parametrize(
    ("configs", "options"),
    [
        ([adam(1e-3), adam(2e-2)], {}),
        ([adam(1e-3), adam(1e-2)], {"seeds": (0, 2)}),
        ([adam(1e-3), adam(1e-2)], {"task": ES}),
        ([adam(1e-3), adam(1e-2)], {"schedule": Schedule(71)}),
        ([adam(1e-3), adam(1e-2)], {"is_compiled": True}),
    ],
    ids=["rates", "seeds", "task", "schedule", "compiled"],
)
def test_the_state_of_another_run_is_refused(configs, options):
    arrays = dumped([adam(1e-3), adam(1e-2)])
    with pytest.raises(StorageError, match="the state is of another run: needed one of"):
        run_of(configs, **options).load(arrays)


@pytest.mark.parametrize("configs", [[adam(1e-3)], ("Global", 0.1)], ids=["pure", "class"])
def test_a_state_that_lacks_anything_is_refused_by_its_name(configs):
    arrays = dumped(configs)
    for name in arrays:
        with pytest.raises(StorageError) as caught:
            run_of(configs).load({key: array for key, array in arrays.items() if key != name})
        assert name.split("['")[0] in str(caught.value)


def test_a_state_of_other_shapes_is_refused_by_name():
    arrays, other = dumped([adam(1e-3), adam(1e-2)]), dumped([adam(1e-3), adam(1e-2)], seeds=(0, 1, 2))
    trained = {key: array for key, array in other.items() if key.startswith("trained")}
    with pytest.raises(
        StorageError, match=r"`trained\.params\['linears\.0\.weight'\]` needed as \(\(2, 2, 32, 64\)"
    ):
        run_of([adam(1e-3), adam(1e-2)]).load(resealed({**arrays, **trained}))


def test_a_state_that_loads_as_another_is_refused():
    arrays = dumped([adam(1e-3)])
    with pytest.raises(StorageError, match="not the same after it was loaded: `left_over` differs"):
        run_of([adam(1e-3)]).load(resealed({**arrays, "left_over": np.zeros(3)}))


def test_a_network_that_no_step_changes_is_dumped_once():
    arrays = dumped(("Learned", 0.1, 0.3), lifting="none")
    shapes = {name: array.shape for name, array in arrays.items() if "network" in name}
    assert shapes["trained['made']['network.0.weight']"] == (4, 2)
    assert {name.split("[")[1] for name in shapes} == {"'made']"}


def edit_own_file(tmp_path):
    """Give the network other weights."""
    # Of another size: Python knows a file that it has compiled by its time in seconds and its size.
    (tmp_path / "own.py").write_text(OWN + LEARNED.replace("(0, 0.3", "(0, 0.45"))
    for module in [name for name in sys.modules if name.endswith(".own")]:
        del sys.modules[module]


def test_the_state_of_an_edited_class_is_refused(tmp_path):
    arrays = dumped(("Learned", 0.1), lifting="none")
    edit_own_file(tmp_path)
    with pytest.raises(StorageError, match="the state is of another run: needed one of content"):
        run_of(("Learned", 0.1), lifting="none").load(arrays)


def test_the_state_of_another_network_is_refused(tmp_path, monkeypatch):
    """Even if the trial's identity does not tell."""
    monkeypatch.setattr(Trial, "id", lambda self, source: "0123456789")
    arrays = dumped(("Learned", 0.1), lifting="none")
    edit_own_file(tmp_path)
    with pytest.raises(StorageError, match=r"not the same after it was loaded: `trained\['made'\]"):
        run_of(("Learned", 0.1), lifting="none").load(arrays)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "Gated",
            r"keeps a `function` in `trained.*\['network'\]\['network'\]\['attributes'\]\['gate'\]`",
        ),
        (
            "Helper",
            r"`own.py:Helper` keeps a `Helper` in `trained.*\['helper'\]`, which cannot be saved: only",
        ),
        (
            "Lazy",
            r"`Lazy` makes `network.0.weight` of its network without a shape, which cannot be saved: give",
        ),
        ("Generator", r"keeps a `Generator` in `trained.*\['generator'\]`"),
        ("Shared", r"keeps a list in `trained.*\['there'\]` that it keeps elsewhere too"),
        ("Keyed", r"keeps a dict in `trained.*\['keyed'\]` by other keys than numbers and words"),
    ],
)
def test_what_cannot_be_saved_is_named(name, words, tmp_path):
    with (tmp_path / "own.py").open("a") as file:
        file.write(ODD)
    configs = [Config("x", f"own.py:{name}", {"lr": 0.1})]
    with pytest.raises(UnsupportedError, match=words):
        dumped(configs, lifting="none")


ODD = """

class Helper(Rebinding):
    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.helper = type("Helper", (), {})()


class Gated(Learned):
    def __init__(self, params, lr, num_steps):
        super().__init__(params, lr, num_steps)
        self.network.gate = lambda value: value


class Lazy(Learned):
    def __init__(self, params, lr, num_steps):
        super().__init__(params, lr, num_steps)
        self.network = torch.nn.Sequential(torch.nn.LazyLinear(1, bias=False))


class Generator(Rebinding):
    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.generator = torch.Generator()


class Shared(Rebinding):
    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.here = self.there = [0]


class Keyed(Rebinding):
    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.keyed = {param: 0 for param in self.param_groups[0]["params"]}
"""
