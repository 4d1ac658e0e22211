"""Objects of `torch.optim.Optimizer` classes, each with the parameters that it steps."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.utils._pytree import tree_leaves

from optsuite.errors import UnsupportedError
from optsuite.noise import generators_kept, key_from, seed_generators, torch_generators
from optsuite.optimizers import deliver, has_hooks, set_training, takes_loss
from optsuite.trainer._networks import Networks


@functools.cache
def of_torch() -> frozenset[str]:
    """Return the attributes of every optimizer that its steps do not change."""
    # The first object of a class imports torch's compiler, which takes a second.
    made = vars(optim.Optimizer([torch.empty(0)], {}))
    return frozenset(made.keys() - {"state", "param_groups", "defaults"})


class Unit:
    """An optimizer with what it steps: one trial, or the stacked seeds of a config.

    Classes of torch itself step on their homes, the views of the stacked parameters. Any other has
    parameters in memory of their own, with which it may do what it likes, as in a plain loop: rebind and
    swap `param.data`, or lay all parameters into one buffer. They are copied home after every step.

    Args:
        cls: The class.
        hparams: Arguments of its constructor, besides the parameters.
        homes: Parts of the stacked parameters, which are what others read.
        places: (seed, config) of its trials, as numbers of rows and columns of the grid.
        seed: Seed of its first trial, of which all that it draws is a function.
        made: Tensors of networks, as `Networks` takes them.

    Raises:
        UnsupportedError: A parameter gets another shape or type.
    """

    def __init__(
        self,
        cls: type[optim.Optimizer],
        hparams: Mapping[str, Any],
        homes: list[Tensor],
        places: list[tuple[int, int]],
        seed: int,
        made: dict[str, Tensor],
    ) -> None:
        self._is_of_torch = cls.__module__.partition(".")[0] == "torch"
        self.params = [nn.Parameter(home if self._is_of_torch else home.clone()) for home in homes]
        self.places = places
        self._homes = homes
        self._seed, self.num_draws = seed, 0
        self._restart_generators()
        self.optimizer = cls(self.params, **hparams)
        self.networks = Networks(self.optimizer, made)
        self.takes_loss = takes_loss(cls)
        self._loss: Tensor | None = None
        self.has_modes = hasattr(self.optimizer, "eval")
        self._left: list[Tensor | None] = [None] * len(homes)  # gradients that the last step left
        set_training(self.optimizer, is_training=True)
        self._bring_home()

    @property
    def has_hooks(self) -> bool:
        """Whether it matters to the class how a plain loop clears and computes gradients."""
        return not self._is_of_torch and has_hooks(self.optimizer, self.params)

    def step(self, grads: Sequence[Tensor], loss: Tensor, *, may_draw: bool = True) -> None:
        """Take one step.

        Args:
            grads: Gradients, into which the class may write.
            loss: The loss at the parameters, 0-d.
            may_draw: False leaves the generators as they are, of a class that is not to draw.
        """
        if may_draw:
            self._restart_generators()
        else:
            self.num_draws += 1
        self._loss = loss
        given = [
            grad if param.requires_grad else None  # the class froze it
            for param, grad in zip(self.params, grads, strict=True)
        ]
        has_hooks = self.has_hooks
        for param, grad in zip(self.params, self._left if has_hooks else given, strict=True):
            param.grad = grad
        if has_hooks:
            deliver(self.optimizer, self.params, given)
        step: Any = self.optimizer.step
        if self.takes_loss:
            step(loss=loss)
        else:
            step()
        if self.has_hooks:
            self._left = [param.grad for param in self.params]
        self._bring_home()

    def _restart_generators(self) -> None:
        """Make what the class draws next from global generators a function of the trial's seed alone."""
        self._seed_generators("optimizer")
        self.num_draws += 1

    def _seed_generators(self, stream: str) -> None:
        key, device = key_from(self._seed, stream, self.num_draws), self._homes[0].device
        if self._is_of_torch:  # draws from torch's at most
            for generator in torch_generators(device):
                generator.manual_seed(key)
        else:
            seed_generators(key, device)

    def set_training(self, *, is_training: bool) -> None:
        """Switch between the modes of training and of evaluation, if it has them."""
        if self.has_modes:
            with generators_kept(self._homes[0].device):
                self._seed_generators(f"optimizer, {is_training=}")
                set_training(self.optimizer, is_training=is_training)
            self._bring_home()

    @torch.no_grad()
    def _bring_home(self) -> None:
        """Copy the parameters to where others read them, if they are not there."""
        if self._is_of_torch:
            return
        for number, (param, home) in enumerate(zip(self.params, self._homes, strict=True)):
            if param.shape != home.shape or param.dtype != home.dtype or param.device != home.device:
                raise UnsupportedError(
                    f"`{type(self.optimizer).__name__}` turns parameter {number} from {_kind(home)} into "
                    f"{_kind(param)}: a class must keep the shapes, types and devices of its parameters, "
                    "as the task has them; keep another copy in its state"
                )
        torch._foreach_copy_(self._homes, [param.detach() for param in self.params])

    def is_finite(self) -> bool:
        """Tell whether its gradients, its loss and all that it remembers are finite."""
        grads, state = [param.grad for param in self.params], list(self.optimizer.state.values())
        tensors = tree_leaves([grads, self._loss if self.takes_loss else None, state])
        return all(bool(t.isfinite().all()) for t in tensors if isinstance(t, Tensor))

    def facts(self) -> dict[str, Any]:
        """Give all that decides its next steps, except for what lies in its homes; nothing is copied."""
        modules = self.networks.modules
        attributes = {
            name: value
            for name, value in vars(self.optimizer).items()
            if name not in of_torch() and not (name in modules and modules[name] is value)
        }
        numbers: dict[Any, Any] = {param: f"parameter {n}" for n, param in enumerate(self.params)}
        attributes["state"] = {numbers.get(key, key): value for key, value in self.optimizer.state.items()}
        # What modes may read, or a step that goes on from the gradients of the last.
        grads = [param.grad for param in self.params] if self.has_modes or self.has_hooks else []
        return {
            "optimizer": attributes,
            "networks": self.networks.facts(),
            "grads": grads,
            "data": [] if self._is_of_torch else [param.detach() for param in self.params],
            "attributes": [dict(vars(param)) for param in self.params],
            "num_draws": self.num_draws,
        }

    def load(
        self,
        optimizer: dict[str, Any],
        networks: dict[str, Any],
        grads: list[Tensor | None],
        data: list[Tensor],
        attributes: list[dict[str, Any]],
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
        for param, own in zip(self.params, attributes, strict=True):
            vars(param).update(own)
        for param, values in zip(self.params, data, strict=bool(data)):
            param.data = values
        for param, grad in zip(self.params, grads, strict=bool(grads)):
            param.grad = grad
        self._left = grads or self._left

    def fill_with_nan(self) -> None:
        """End its trials: their losses are NaN from now on."""
        for home in self._homes:
            home.fill_(torch.nan)


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)}, {tensor.dtype}, {tensor.device.type}"
