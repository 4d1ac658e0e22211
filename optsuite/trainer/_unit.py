"""Objects of `torch.optim.Optimizer` classes, each with the parameters that it steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.utils._pytree import tree_leaves

from optsuite.noise import key_from, torch_generators
from optsuite.optimizers import set_training, takes_loss
from optsuite.trainer._networks import Networks

# Attributes of every optimizer that its steps do not change.
OF_TORCH = vars(optim.Optimizer([torch.empty(0)], {})).keys() - {"state", "param_groups", "defaults"}


class Unit:
    """An optimizer with what it steps: one trial, or the stacked seeds of a config."""

    def __init__(
        self,
        cls: type[optim.Optimizer],
        hparams: Mapping[str, Any],
        homes: list[Tensor],
        places: list[tuple[int, int]],
        seed: int,
        made: dict[str, Tensor],
    ) -> None:
        self.params = [nn.Parameter(home) for home in homes]
        self.places = places
        self._homes = homes
        self._seed, self.num_draws = seed, 0
        self._generators = torch_generators(homes[0].device)
        self._restart_generators()
        self.optimizer = cls(self.params, **hparams)
        self.networks = Networks(self.optimizer, made)
        self.takes_loss = takes_loss(cls)
        self._loss: Tensor | None = None
        self.has_modes = hasattr(self.optimizer, "eval")
        self.set_training(is_training=True)

    def step(self, grads: Sequence[Tensor], loss: Tensor) -> None:
        """Take one step.

        Args:
            grads: Gradients, into which the class may write.
            loss: The loss at the parameters, 0-d.
        """
        for param, grad in zip(self.params, grads, strict=True):
            param.grad = grad
        self._loss = loss
        self._restart_generators()
        step: Any = self.optimizer.step
        if self.takes_loss:
            step(loss=loss)
        else:
            step()
        self._bring_home()

    def _restart_generators(self) -> None:
        """Make what the class draws next from torch's generators a function of the trial's seed alone."""
        key = key_from(self._seed, "optimizer", self.num_draws)
        for generator in self._generators:
            generator.manual_seed(key)
        self.num_draws += 1

    def set_training(self, *, is_training: bool) -> None:
        """Switch between the modes of training and of evaluation, if it has them."""
        set_training(self.optimizer, is_training=is_training)
        self._bring_home()

    def _bring_home(self) -> None:
        # Some optimizers write `param.data = ...`, which leaves the stacked parameters behind.
        for param, home in zip(self.params, self._homes, strict=True):
            if param.data_ptr() != home.data_ptr():
                home.copy_(param.data)
                param.data = home

    def is_finite(self) -> bool:
        """Tell whether its gradients, its loss and all that it remembers are finite."""
        grads, state = [param.grad for param in self.params], list(self.optimizer.state.values())
        tensors = tree_leaves([grads, self._loss if self.takes_loss else None, state])
        return all(bool(t.isfinite().all()) for t in tensors if isinstance(t, Tensor))

    def facts(self) -> dict[str, Any]:
        """Give all that decides its next steps, its parameters left out; nothing is copied."""
        modules = self.networks.modules
        attributes = {
            name: value
            for name, value in vars(self.optimizer).items()
            if name not in OF_TORCH and not (name in modules and modules[name] is value)
        }
        numbers: dict[Any, Any] = {param: f"parameter {n}" for n, param in enumerate(self.params)}
        attributes["state"] = {numbers.get(key, key): value for key, value in self.optimizer.state.items()}
        grads = [param.grad for param in self.params] if self.has_modes else []  # what modes may read
        networks = self.networks.facts()
        return {"optimizer": attributes, "networks": networks, "grads": grads, "num_draws": self.num_draws}

    def load(
        self,
        optimizer: dict[str, Any],
        networks: dict[str, Any],
        grads: list[Tensor | None],
        num_draws: int,
    ) -> None:
        """Go on from the facts of a unit of the same trials."""
        self.networks.load(networks)
        state = optimizer.pop("state")
        vars(self.optimizer).update(optimizer)  # `load_state_dict` casts, and knows no other attributes
        params: dict[Any, Any] = {f"parameter {n}": param for n, param in enumerate(self.params)}
        self.optimizer.state.clear()
        self.optimizer.state.update({params.get(key, key): value for key, value in state.items()})
        self.num_draws = num_draws
        for param, grad in zip(self.params, grads, strict=bool(grads)):
            param.grad = grad

    def fill_with_nan(self) -> None:
        """End its trials: their losses are NaN from now on."""
        for home in self._homes:
            home.fill_(torch.nan)
