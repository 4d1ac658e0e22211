"""Programs of `torch.optim.Optimizer` classes: the gradients of all trials at once, the updates by the class.

Each optimizer object steps on views of the stacked parameters. In general it has one trial, so that nothing
that a class does can mix trials: norms, a step size for all tensors, a state of its own. The elementwise ones
of `torch.optim` get the seeds of a config, which share its hyperparameters, as one tensor a parameter: the
same arithmetic in fewer and larger calls.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn, optim
from torch.utils._pytree import tree_leaves

from optsuite._types import Array, Batch, Params
from optsuite.errors import HParamError, in_words
from optsuite.noise import key_from
from optsuite.optimizers import OptState, import_optimizer, set_training
from optsuite.trainer._grid import Grid
from optsuite.trainer._memory import is_out_of_memory
from optsuite.trainer._program import Program, Step, configs_of
from optsuite.tree import tree_map

__all__ = ["TorchProgram"]

_ELEMENTWISE = (
    *(optim.ASGD, optim.Adadelta, optim.Adagrad, optim.Adam, optim.AdamW, optim.Adamax),
    *(optim.NAdam, optim.RAdam, optim.RMSprop, optim.Rprop, optim.SGD),
)
# Arguments that choose among their kernels: without any, those that torch chooses by itself on CUDA only.
_KERNELS = {"foreach", "fused", "differentiable"}


@final
class TorchProgram(Program):
    """The program of an optimizer that is named by its import path."""

    def start(self, grid: Grid) -> tuple[Params, OptState]:
        """Initial parameters, (S, H, ...), and the optimizers, which change them in place."""
        params, path = self._initial_params(grid), self.rule.optimizer
        try:
            return params, _Stepper(path, grid, params)
        except Exception as error:
            raise HParamError(
                f"`{path}` cannot be made for the parameters of `{self.task.name}` ({in_words(error)})"
            ) from error

    @cached_property
    def step(self) -> Step:
        """Takes one step of every trial, in place."""
        grads_and_loss = self._maybe_compiled(self._lifted(self._grads_and_loss, (0, "S", "S")))

        def step(
            params: Params, stepper: _Stepper, _: Params, batch: Batch, key: Tensor
        ) -> tuple[Params, OptState, Tensor]:
            grads, loss_SH = grads_and_loss(params, batch, key)
            with self._stance("default"):  # what is not ours is checked
                stepper.step(grads)
            return params, stepper, loss_SH

        return step

    def params_to_evaluate(self, params: Params, opt_state: OptState) -> Params:
        """Those of the mode that the optimizers have for it, e.g. averages; else those that are trained."""
        del params
        stepper: _Stepper = opt_state
        return stepper.params_to_evaluate()

    def keep(self, params: Params, opt_state: OptState, is_kept: Array) -> tuple[Params, OptState]:
        """The parameters and optimizers of some of the configs."""
        del params
        stepper: _Stepper = opt_state
        return stepper.keep(is_kept), stepper

    def failures(self, opt_state: OptState) -> dict[tuple[int, int], Exception]:
        """What the optimizers raised, by trial."""
        stepper: _Stepper = opt_state
        return stepper.failures


class _Stepper:
    """The optimizers of a grid, and what became of those that failed.

    Args:
        path: Of the optimizer class.
        grid: Seeds and configs.
        params: (S, H, ...) each; every step changes them in place.
    """

    def __init__(self, path: str, grid: Grid, params: Params) -> None:
        self.failures: dict[tuple[int, int], Exception] = {}
        self._params = params
        self._own = _by_config(params)
        self._kept: Tensor | None = None  # numbers of the configs that are left, once some are not
        self._units = list(_make_units(path, grid, self._own))
        self._running = list(self._units)

    def keep(self, is_kept: Array) -> Params:
        """Go on with some of the configs.

        Args:
            is_kept: (H,), bool.

        Returns:
            Their parameters, (S, H, ...) each, which every step changes from now on.
        """
        units_of_config = len(self._units) // len(is_kept)
        self._units = list(itertools.compress(self._units, np.repeat(is_kept, units_of_config)))
        self._running = [unit for unit in self._running if unit in self._units]
        # The memory of the optimizers stays as it is: they may remember views of it.
        device = next(iter(self._own.values())).device
        every = torch.arange(len(is_kept), device=device) if self._kept is None else self._kept
        self._kept = configs_of(every, is_kept, axis=0)
        self._params = configs_of(self._params, is_kept, axis=1)
        return self._params

    def _own_kept(self) -> Params:
        """(H, S, ...) of the configs that are kept."""
        if (kept := self._kept) is None:
            return self._own
        return tree_map(lambda own: own.index_select(0, kept), self._own)

    def step(self, grads: Params) -> None:
        """Step every trial that has not failed.

        Args:
            grads: (S, H, ...) each.
        """
        self._set_grads(grads)
        for unit in tuple(self._running):
            try:
                unit.step()
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                self._retire(unit, error)
        self._publish()

    def _set_grads(self, grads: Params) -> None:
        seen = set()
        for number, own in enumerate(_by_config(grads).values()):
            if own.data_ptr() in seen:  # those of terms of one sum are one tensor; classes may write into it
                own = own.clone()
            seen.add(own.data_ptr())
            by_unit = own.view(len(self._units), *self._units[0].params[number].shape)
            for unit, part in zip(self._units, by_unit.unbind(), strict=True):
                unit.params[number].grad = part

    def _retire(self, unit: _Unit, error: Exception) -> None:
        """Stop a unit: its trials have diverged if its numbers are not finite, else they have failed."""
        self._running.remove(unit)
        if unit.is_finite():
            self.failures |= dict.fromkeys(unit.places, error)
        unit.fill_with_nan()

    def _publish(self) -> None:
        for name, own in self._own_kept().items():
            if own.data_ptr() != self._params[name].data_ptr():
                self._params[name].copy_(own.transpose(0, 1))

    def params_to_evaluate(self) -> Params:
        """What the parameters are in the optimizers' mode for evaluation."""
        if not any(unit.has_modes for unit in self._running):
            return self._params
        for unit in self._running:
            unit.set_training(is_training=False)
        evaluated = tree_map(_by_seed, self._own_kept())
        for unit in self._running:
            unit.set_training(is_training=True)
        self._publish()
        return evaluated


def _by_config(params: Params) -> Params:
    """(S, H, ...) to (H, S, ...): the seeds of a config lie side by side; shared memory where S or H is 1."""
    return tree_map(lambda stacked: stacked.transpose(0, 1).contiguous(), params)


def _by_seed(own: Tensor) -> Tensor:
    """(H, S, ...) to (S, H, ...), with storage of its own."""
    return own.transpose(0, 1).clone(memory_format=torch.contiguous_format)


class _Unit:
    """An optimizer with what it steps: one trial, or the stacked seeds of a config."""

    def __init__(
        self,
        cls: type[optim.Optimizer],
        hparams: Mapping[str, Any],
        homes: list[Tensor],
        places: list[tuple[int, int]],
        noise: _Noise,
    ) -> None:
        self.params = [nn.Parameter(home) for home in homes]
        self.places = places
        self._homes = homes
        self._noise = noise
        self._noise.restart()
        self._optimizer = cls(self.params, **hparams)
        self.has_modes = hasattr(self._optimizer, "eval")
        self.set_training(is_training=True)

    def step(self) -> None:
        """Take one step, by the gradients at the parameters."""
        self._noise.restart()
        self._optimizer.step()
        self._bring_home()

    def set_training(self, *, is_training: bool) -> None:
        """Switch between the modes of training and of evaluation, if it has them."""
        set_training(self._optimizer, is_training=is_training)
        self._bring_home()

    def _bring_home(self) -> None:
        # Some optimizers write `param.data = ...`, which leaves the stacked parameters behind.
        for param, home in zip(self.params, self._homes, strict=True):
            if param.data_ptr() != home.data_ptr():
                home.copy_(param.data)
                param.data = home

    def is_finite(self) -> bool:
        """Whether its gradients and all that it remembers are finite."""
        tensors = tree_leaves([[param.grad for param in self.params], list(self._optimizer.state.values())])
        return all(bool(t.isfinite().all()) for t in tensors if isinstance(t, Tensor))

    def fill_with_nan(self) -> None:
        """End its trials."""
        for home in self._homes:
            home.fill_(torch.nan)


class _Noise:
    """Makes what an optimizer draws from torch's generators a function of its trial's seed alone.

    Args:
        seed: Of the trial.
        device: Of its parameters, with its index.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._count = 0
        self._generators = [torch.default_generator]
        if device.type == "cuda":
            self._generators.append(torch.cuda.default_generators[device.index])

    def restart(self) -> None:
        """Begin the numbers of the next step."""
        key = key_from(self._seed, "optimizer", self._count)
        for generator in self._generators:
            generator.manual_seed(key)
        self._count += 1


def _make_units(path: str, grid: Grid, params: Params) -> Iterator[_Unit]:
    """The optimizers of a grid, configs outermost.

    Args:
        path: Of their class.
        grid: Seeds and configs.
        params: (H, S, ...) each, contiguous.
    """
    cls = import_optimizer(path)
    device = next(iter(params.values())).device
    for h, config in enumerate(grid.configs):
        if cls in _ELEMENTWISE:
            kernels = {} if _KERNELS & config.hparams.keys() else {"foreach": True}
            homes = [stacked[h] for stacked in params.values()]
            places = [(s, h) for s in range(len(grid.seeds))]
            yield _Unit(cls, {**config.hparams, **kernels}, homes, places, _Noise(grid.seeds[0], device))
        else:
            for s, seed in enumerate(grid.seeds):
                homes = [stacked[h, s] for stacked in params.values()]
                yield _Unit(cls, config.hparams, homes, [(s, h)], _Noise(seed, device))
