"""What a task is: a dataset, a batch size, a model and a loss, all fixed."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils._pytree import tree_map as pytree_map

from optsuite import data
from optsuite._types import Array, Batch, Params
from optsuite.modules import FLOP_FORMULAS, Embedding

_LOOKUPS = (Embedding, nn.Embedding, nn.EmbeddingBag)  # an example meets few of their weights


class Bound(NamedTuple):
    """A network at given parameters, to be called as the module itself."""

    module: nn.Module
    params: Params
    is_bf16: bool = False
    """Whether its products and convolutions are, by autocast; the outputs are float32."""

    def __call__(self, *inputs: Tensor | None) -> Any:  # noqa: ANN401 - whatever the network gives
        """The network's outputs at `params`."""
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

LossFn: TypeAlias = Callable[[Model, Batch, Tensor | None], Tensor]
"""(model, batch, key) to a 0-d loss."""


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
    """Makes the network, initialised from torch's generator."""
    forward: Callable[[Model, Batch, Tensor | None], Tensor]
    """(model, batch, key) to the outputs that loss and metrics read."""
    loss_fn: Callable[[Tensor, Batch], Tensor]
    """(outputs, batch) to a 0-d loss."""
    normalize_fn: Callable[[Tensor], Tensor]
    """Element-wise, the reference's clipped or rescaled loss."""
    metric_fns: Mapping[str, Callable[[Tensor, Batch], Tensor]] = field(default_factory=dict)
    """Further quantities recorded in evaluation, by name."""
    wrap_loss: Callable[[LossFn], LossFn] = lambda loss: loss
    """Applied to the training loss, e.g. to give it another gradient; its value stays."""

    def module(self, seed: int = 0) -> nn.Module:
        """The network, freshly initialised on the CPU; the same seed gives the same parameters."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # leaves the generators of GPUs alone
            return self.build()

    def meta_module(self) -> nn.Module:
        """The network without storage, for shapes and counts of even the largest tasks."""
        with torch.device("meta"):
            return self.build()

    @cached_property
    def num_params(self) -> int:
        """Number of trainable scalars."""
        return sum(p.numel() for p in self.meta_module().parameters())

    @cached_property
    def param_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the parameters."""
        return tuple(tuple(p.shape) for p in self.meta_module().parameters())

    @cached_property
    def min_flops_per_step(self) -> int:
        """A bound of `flops_per_step` that takes no counting: each example meets each weight twice."""
        layers = [layer for layer in self.meta_module().modules() if not isinstance(layer, _LOOKUPS)]
        weights = [p for layer in layers for p in layer.parameters(recurse=False) if p.ndim > 1]
        return 4 * self.batch_size * sum(weight.numel() for weight in weights)

    @property
    def flops_per_step(self) -> int:
        """Floating-point operations of the products and convolutions in one loss and its gradient."""
        return self._cost.flops

    @property
    def activation_bytes(self) -> int:
        """Memory that the gradient of one loss keeps from its forward pass, parameters and batch left out."""
        return self._cost.activation_bytes

    @property
    def peak_bytes(self) -> int:
        """Memory of one loss and its gradient where they need most, parameters and batch left out."""
        return self._cost.peak_bytes

    @property
    def num_ops(self) -> int:
        """Operators in one loss and its gradient, those on integers left out."""
        return self._cost.num_ops

    @cached_property
    def _cost(self) -> _Cost:
        """What one loss and its gradient take, counted without computing it."""
        module, batch = self.meta_module(), self._meta_batch()
        given = {_storage_key(tensor) for tensor in (*module.parameters(), *batch.values())}
        kept: dict[int, torch.UntypedStorage] = {}  # holds them: the next would get a freed one's key

        def keep(tensor: Tensor) -> Tensor:
            if (key := _storage_key(tensor)) not in given:
                kept[key] = tensor.untyped_storage()
            return tensor

        from torch.utils.flop_counter import FlopCounterMode  # takes long

        flop_counter = FlopCounterMode(display=False, custom_mapping=FLOP_FORMULAS)
        with torch.enable_grad(), flop_counter as flops, _Counter(given) as counter:
            with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
                loss = self.loss(module, batch, torch.zeros((), dtype=torch.int64))
            # As `torch.func` has it, which holds what a second derivative would need.
            gradient = torch.autograd.grad(loss, list(module.parameters()), create_graph=True)
        activations = sum(storage.nbytes() for storage in kept.values())
        del gradient, loss  # until here, they count
        return _Cost(int(flops.get_total_flops()), activations, counter.peak_bytes, counter.num_ops)

    def _meta_batch(self) -> Batch:
        return {
            name: torch.empty((self.batch_size, *shape), dtype=dtype, device="meta")
            for name, (shape, dtype) in self.dataset.fields.items()
        }

    def dataloader(
        self,
        split: str,
        seed: int = 0,
        device: torch.device | str = "cpu",
        mode: str | None = None,
    ) -> Iterator[Batch]:
        """Endless shuffled batches of a split.

        Args:
            split: train, inner_valid, outer_valid or test.
            seed: Fixes the order.
            device: Where the batches live.
            mode: auto, real or synthetic; None reads `OPTSUITE_DATA`.

        Raises:
            DataError: Real data were asked for and are not there.
            UnknownNameError: There is no such split.
        """
        source = data.resolve_source(self.dataset.dataset, mode)
        return data.dataloader(self.dataset, self.batch_size, split, seed=seed, source=source, device=device)

    def loss(self, module: Model, batch: Batch, key: Tensor | None = None) -> Tensor:
        """The training loss.

        Args:
            module: From `module()`, or `Bound` to given parameters.
            batch: From `dataloader()`.
            key: (), int64, fixes noise inside the loss; None draws it from torch's generator.

        Returns:
            (), differentiable.
        """
        return self.wrap_loss(self._plain_loss)(module, batch, key)

    def _plain_loss(self, module: Model, batch: Batch, key: Tensor | None) -> Tensor:
        return self.loss_fn(self.forward(module, batch, key), batch)

    def metrics(self, module: Model, batch: Batch, key: Tensor | None = None) -> dict[str, Tensor]:
        """Loss, normalised loss and the family's further metrics (e.g. accuracy) of one batch, each ()."""
        outputs = self.forward(module, batch, key)
        loss = self.loss_fn(outputs, batch)
        more = {name: fn(outputs, batch) for name, fn in self.metric_fns.items()}
        return {"loss": loss, "loss_normalized": self.normalize_fn(loss), **more}

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of what `metrics` returns, in its order."""
        return ("loss", "loss_normalized", *self.metric_fns)

    def normalizer(self, loss: Tensor | Array | float) -> Tensor | Array:
        """The reference's per-task clipped or rescaled loss.

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


class _Cost(NamedTuple):
    flops: int
    activation_bytes: int
    peak_bytes: int
    num_ops: int


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operators whose outcome is floating-point, and the memory that is held of all outcomes.

    Args:
        given: Keys of storages that were there before.
    """

    def __init__(self, given: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_ops = self.peak_bytes = self._held_bytes = 0
        self._known = set(given)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operator gives
        """Run an operator and count it."""
        outcome = func(*args, **(kwargs or {}))
        first = outcome[0] if isinstance(outcome, tuple | list) and outcome else outcome
        self.num_ops += isinstance(first, Tensor) and first.is_floating_point()
        for tensor in tree_leaves(outcome):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage())
        self.peak_bytes = max(self.peak_bytes, self._held_bytes)
        return outcome

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key, num_bytes = int(storage._cdata), storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self._held_bytes += num_bytes
        weakref.finalize(storage, self._release, key, num_bytes)

    def _release(self, key: int, num_bytes: int) -> None:
        self._known.remove(key)
        self._held_bytes -= num_bytes


def _storage_key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def image_logits(model: Model, batch: Batch, _key: Tensor | None) -> Tensor:
    """The outputs of a network of images that takes no key: (B, num_classes)."""
    logits: Tensor = model(batch["image"])
    return logits


def cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    """Mean over the batch of softmax cross entropy.

    Along a leading class axis, where the networks' outputs are contiguous over the batch.
    """
    scores = logits.mT
    picked = torch.where(_is_label(scores, batch), scores, 0.0).sum(0)
    return (scores.logsumexp(0) - picked).mean()


def squared_error(logits: Tensor, batch: Batch) -> Tensor:
    """Mean over batch and classes of (logits - one hot label)^2."""
    scores = logits.mT
    return (scores - _is_label(scores, batch).to(scores.dtype)).square().mean()


def _is_label(scores: Tensor, batch: Batch) -> Tensor:
    classes = torch.arange(len(scores), device=scores.device)
    return classes[:, None] == batch["label"]


def accuracy(logits: Tensor, batch: Batch) -> Tensor:
    """Fraction of the batch whose largest logit, of (B, C), is the label's."""
    largest = logits.mT.max(0).indices  # the first of equals, as `argmax`, and several times as fast
    return (largest == batch["label"]).float().mean()


def unchanged(loss: Tensor) -> Tensor:
    """The normaliser of families that have none."""
    return loss


def clip_loss(num_classes: int, *, nan_is_worst: bool) -> Callable[[Tensor], Tensor]:
    """Clip to [0, 1.5 ln C]; NaN becomes the upper end or stays NaN.

    Source: learned_optimization, the `normalizer` of the image classification tasks.
    """
    worst = 1.5 * math.log(num_classes)

    def normalize(loss: Tensor) -> Tensor:
        clipped = loss.clamp(0.0, worst)
        return clipped.nan_to_num(worst) if nan_is_worst else clipped

    return normalize
