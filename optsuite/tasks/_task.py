"""Defines a task: a dataset, a batch size, a model and a loss, all fixed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_map as pytree_map

from optsuite import data
from optsuite._types import Array, Batch, Params
from optsuite.errors import OptsuiteError
from optsuite.gradients import GradientEstimator, backpropagation
from optsuite.noise import generators_kept, seed_generators
from optsuite.optimizers import Role
from optsuite.tasks._cost import UNKNOWN_COST, Cost, counted, counted_estimate, of_many_steps
from optsuite.tasks._roles import LOOKUPS, roles_of

# Counting with real numbers takes the time and the memory of a step.
_MOST_PARAMS_COUNTED_ON_CPU = 50_000_000


class Bound(NamedTuple):
    """A network at given parameters, to be called as the module itself."""

    module: nn.Module
    params: Params
    is_bf16: bool = False
    """Whether autocast runs its products and convolutions in bf16; the outputs are float32."""

    def __call__(self, *inputs: Tensor | None) -> Any:  # noqa: ANN401 - whatever the network gives
        """Return the network's outputs at `params`."""
        if not self.is_bf16:
            return functional_call(self.module, self.params, inputs)
        kind = next(iter(self.params.values())).device.type
        # Its cache of cast weights would outlive the transforms around a loss.
        with torch.autocast(kind, torch.bfloat16, cache_enabled=False):
            outputs = functional_call(self.module, self.params, inputs)
        return pytree_map(_widened, outputs)


def _widened(output: Any) -> Any:  # noqa: ANN401 - whatever the network gives
    is_bf16 = isinstance(output, Tensor) and output.dtype == torch.bfloat16
    return output.float() if is_bf16 else output


Model: TypeAlias = nn.Module | Bound
"""A network at its own parameters or at given ones."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A fixed optimization problem: a pure function of parameters, batch and noise key.

    Families differ in the functions they pass here; nothing subclasses this.
    """

    name: str
    family: str
    dataset: data.DataSpec
    batch_size: int
    build: Callable[[], nn.Module]
    """Function that makes the network, initialised from the generator of torch, NumPy or Python."""
    forward: Callable[[Model, Batch, Tensor | None], Tensor]
    """Function of (model, batch, key) that gives the outputs that loss and metrics read."""
    loss_fn: Callable[[Tensor, Batch], Tensor]
    """Function of (outputs, batch) that gives a 0-d loss."""
    normalize_fn: Callable[[Tensor], Tensor]
    """Element-wise function that gives the reference's clipped or rescaled loss."""
    batch_dims: tuple[int, ...] = ()
    """Axes in front of a batch, for a task that trains networks within its loss.

    A step takes as many batches of `batch_size` examples. The first axis is that of inner steps, which may be
    any number: costs are counted for two and three. Such a task is never compiled.
    """
    metric_fns: Mapping[str, Callable[[Tensor, Batch], Tensor]] = field(default_factory=dict)
    """Further quantities recorded in evaluation, by name."""
    estimator: GradientEstimator = field(default_factory=backpropagation)
    """The way in which the trainer estimates the gradient of the loss."""
    version: int = 1
    """Number to count up where a change of the definition changes its curves; part of a trial's identity."""
    edits_count: bool = True
    """Whether an edit of the files that define the task makes other trials; False leaves it to `version`.

    Of no effect for a task of this package, of which the version alone counts.
    """

    def __post_init__(self) -> None:
        if self.metric_fns and self.estimator.evaluate:
            raise OptsuiteError(
                f"`{self.name}` has metrics of its own ({', '.join(self.metric_fns)}) and an estimator that "
                "evaluates by itself, which gives a loss alone: leave out `metric_fns`, or the `evaluate` of "
                "the estimator"
            )

    def module(self, seed: int = 0) -> nn.Module:
        """Return the network, freshly initialised on the CPU; a seed always gives the same parameters."""
        with generators_kept():
            seed_generators(seed)
            return self.build()

    def meta_module(self) -> nn.Module:
        """Return the network without storage, for shapes and counts of even the largest tasks."""
        with suppress(Exception), generators_kept(), torch.device("meta"):
            return self.build()
        return self.module().to("meta")  # a constructor may look at numbers

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Axes of examples in a batch, (*batch_dims, batch_size)."""
        return (*self.batch_dims, self.batch_size)

    @cached_property
    def num_params(self) -> int:
        """Number of trainable scalars."""
        return sum(math.prod(shape) for shape in self.param_shapes)

    @cached_property
    def param_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the parameters that are trained."""
        return tuple(tuple(p.shape) for p in self.meta_module().parameters() if p.requires_grad)

    @cached_property
    def roles(self) -> Mapping[str, Role]:
        """Role of each parameter that is trained, by name, for rules that treat them differently.

        A network says them by an attribute `roles` of its own: a mapping from names of parameters, or glob
        patterns of them, to `input`, `hidden`, `heads`, `output` or `other`, of which the first that matches
        counts. For the rest, embeddings are `input`, matrices are `hidden`, all else is `other`.

        Raises:
            OptsuiteError: The network's `roles` are no such mapping, or name a parameter that it has not.
        """
        return roles_of(self.name, self.meta_module())

    @cached_property
    def min_flops_per_step(self) -> int:
        """Bound below `flops_per_step` that needs no counting: each example meets each weight twice."""
        layers = [layer for layer in self.meta_module().modules() if not isinstance(layer, LOOKUPS)]
        weights = [p for layer in layers for p in layer.parameters(recurse=False) if p.requires_grad]
        return 4 * math.prod(self.batch_shape) * sum(weight.numel() for weight in weights if weight.ndim > 1)

    @property
    def flops_per_step(self) -> int:
        """Floating-point operations of the products and convolutions in one loss and its gradient.

        This, the bytes and the operators are -1 where the network cannot be counted.
        """
        return self._cost.flops

    @property
    def activation_bytes(self) -> int:
        """Memory that the gradient of one loss keeps from its forward pass, parameters and batch left out."""
        return self._cost.activation_bytes

    @property
    def peak_bytes(self) -> int:
        """Largest memory that one loss and its gradient hold; parameters, carry and batch left out."""
        return self._cost.peak_bytes

    @property
    def carry_bytes(self) -> int:
        """Memory of what the gradient estimator remembers from step to step."""
        return self._cost.carry_bytes

    @property
    def num_ops(self) -> int:
        """Number of operators in one loss and its gradient, those on integers left out."""
        return self._cost.num_ops

    @cached_property
    def _cost(self) -> Cost:
        """Cost of one estimate of the gradient, counted without computing it where that is possible."""
        num_steps = self.batch_dims[0] if self.batch_dims else 1
        if num_steps > 3:
            two, three = (replace(self, batch_dims=(n, *self.batch_dims[1:]))._cost for n in (2, 3))
            return of_many_steps(two, three, num_steps)
        # Many small operators run faster with numbers than their shapes are worked out.
        for device in ("cpu",) if self.batch_dims else ("meta", "cpu"):
            if device == "meta" or self.num_params <= _MOST_PARAMS_COUNTED_ON_CPU:
                with suppress(Exception):  # whatever counting dislikes, training may take
                    return self._counted_on(device)
        return UNKNOWN_COST

    def _counted_on(self, device: str) -> Cost:
        module = self.meta_module() if device == "meta" else self.module()
        batch = {
            name: torch.zeros((*self.batch_shape, *shape), dtype=dtype, device=device)
            for name, (shape, dtype) in self.dataset.fields.items()
        }
        # An inner training transforms its loss, which the hooks that count what is kept do not survive.
        if self.estimator == backpropagation() and not self.batch_dims:
            return counted(self.loss, module, batch)

        def loss(params: Params, batch: Batch, key: Tensor) -> Tensor:
            return self.loss(Bound(module, params), batch, key)

        params = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
        cost = counted_estimate(self.estimator, loss, params, batch)
        # What the gradient of an outer loss keeps is little beside all that inner ones hold.
        return cost._replace(activation_bytes=cost.peak_bytes) if self.batch_dims else cost

    def dataloader(
        self, split: str, seed: int = 0, device: torch.device | str = "cpu", mode: str | None = None
    ) -> Iterator[Batch]:
        """Return an endless iterator of shuffled batches of a split.

        Args:
            split: train, inner_valid, outer_valid or test.
            seed: Seed that fixes the order.
            device: Device on which the batches live.
            mode: Kind of data, one of auto, real and synthetic; None reads `OPTSUITE_DATA`.

        Raises:
            DataError: Real data were asked for and are not there.
            UnknownNameError: There is no such split.
        """
        source = data.resolve_source(self.dataset.dataset, mode)
        return data.dataloader(self.dataset, self.batch_shape, split, seed=seed, source=source, device=device)

    def loss(self, module: Model, batch: Batch, key: Tensor | None = None) -> Tensor:
        """Compute the training loss, whose own gradient is not the one that `estimator` estimates.

        Args:
            module: A network from `module()`, or one that is `Bound` to given parameters.
            batch: A batch from `dataloader()`.
            key: (), int64, fixes noise inside the loss; None draws a key from torch's generator.

        Returns:
            (), differentiable.
        """
        return self.loss_fn(self.forward(module, batch, key), batch)

    def metrics(self, module: Model, batch: Batch, key: Tensor | None = None) -> dict[str, Tensor]:
        """Compute loss, normalised loss and further metrics (e.g. accuracy) of one batch, each ()."""
        outputs = self.forward(module, batch, key)
        loss = self.loss_fn(outputs, batch)
        more = {name: fn(outputs, batch) for name, fn in self.metric_fns.items()}
        return {"loss": loss, "loss_normalized": self.normalize_fn(loss), **more}

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the metrics that `metrics` returns, in its order."""
        return ("loss", "loss_normalized", *self.metric_fns)

    def normalizer(self, loss: Tensor | Array | float) -> Tensor | Array:
        """Clip or rescale a loss as the reference does for this task.

        Args:
            loss: Any shape, in the unit of the task's loss.

        Returns:
            The same shape: a tensor for a tensor, an array otherwise.
        """
        if isinstance(loss, Tensor):
            return self.normalize_fn(loss)
        return self.normalize_fn(torch.from_numpy(np.array(loss, np.float32))).numpy()

    def __repr__(self) -> str:
        return f"Task({self.name!r})"


def image_logits(model: Model, batch: Batch, _key: Tensor | None) -> Tensor:
    """Return the outputs of a network of images that takes no key: (B, num_classes)."""
    logits: Tensor = model(batch["image"])
    return logits


def cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    """Return the mean over the batch of softmax cross entropy."""
    # Classes lead, since the networks' outputs are contiguous over the batch.
    scores = logits.mT
    picked = torch.where(_is_label(scores, batch), scores, 0.0).sum(0)
    return (scores.logsumexp(0) - picked).mean()


def squared_error(logits: Tensor, batch: Batch) -> Tensor:
    """Return the mean over batch and classes of (logits - one hot label)^2."""
    scores = logits.mT
    return (scores - _is_label(scores, batch).to(scores.dtype)).square().mean()


def _is_label(scores: Tensor, batch: Batch) -> Tensor:
    classes = torch.arange(len(scores), device=scores.device)
    return classes[:, None] == batch["label"]


def accuracy(logits: Tensor, batch: Batch) -> Tensor:
    """Return the fraction of the batch whose largest logit, of (B, C), is the label's."""
    largest = logits.mT.max(0).indices  # the first of equals, as `argmax`, and several times as fast
    return (largest == batch["label"]).float().mean()


def unchanged(loss: Tensor) -> Tensor:
    """Return the loss itself: the normaliser of families that have none."""
    return loss


classification = partial(Task, forward=image_logits, loss_fn=cross_entropy, metric_fns={"accuracy": accuracy})
"""Makes a task of images and labels from what is left: name, family, data, network and normaliser."""


def clip_loss(num_classes: int, *, nan_is_worst: bool) -> Callable[[Tensor], Tensor]:
    """Return a function that clips to [0, 1.5 ln C]; NaN becomes the upper end or stays NaN.

    Source: learned_optimization, the `normalizer` of the image classification tasks.
    """
    worst = 1.5 * math.log(num_classes)

    def normalize(loss: Tensor) -> Tensor:
        clipped = loss.clamp(0.0, worst)
        return clipped.nan_to_num(worst) if nan_is_worst else clipped

    return normalize
