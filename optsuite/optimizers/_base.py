"""The type of optimizers, the chaining of pieces, and the arithmetic that they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.errors import OptsuiteError
from optsuite.tree import tree_map

Scalar: TypeAlias = float | Tensor
"""A hyperparameter: a Python number, or a 0-d tensor so that it can differ per trial."""

OptState: TypeAlias = Any
"""State of an optimizer: a pytree of tensors, of a type that only the optimizer's own functions know."""

StepLrSchedule: TypeAlias = Callable[[Tensor], Tensor]
"""A function from the number of updates already made, a 0-d float32 tensor, to the learning rate."""


class HorizonLrSchedule(NamedTuple):
    """A learning rate that follows the progress of the run, so that `init` needs `num_steps`."""

    rate: Callable[[Tensor], Tensor]  # from the progress, (): 0 at the first update, 1 from num_steps on


LrSchedule: TypeAlias = StepLrSchedule | HorizonLrSchedule
"""A learning rate that changes during the run."""


class Init(Protocol):
    """A function that makes the state from which the first update starts."""

    def __call__(self, params: Params, *, num_steps: Scalar | None = None) -> OptState:
        """Make the state.

        Args:
            params: The initial parameters; the state lives on their device.
            num_steps: Number of updates that will be made, for rules that depend on it; a 0-d tensor if it
                differs per trial.
        """


class Update(Protocol):
    """A function that turns gradients into what is to be added to the parameters."""

    def __call__(
        self, grads: Params, state: OptState, params: Params, *, loss: Tensor | None = None
    ) -> tuple[Params, OptState]:
        """Compute one update; nothing is modified in place.

        Args:
            grads: The gradients, named and shaped like `params`.
            state: State that `init` or the previous update returned.
            params: The parameters at which the gradients were taken.
            loss: The 0-d loss at `params`, for rules that use it.

        Returns:
            The updates, to be added to the parameters, and the next state.
        """


def as_trained(state: OptState, params: Params) -> Params:
    """Return the parameters as they are: most optimizers are evaluated where their gradients are taken.

    Args:
        state: The optimizer's state.
        params: The parameters that are trained.

    Example:
        >>> as_trained((), {"weight": torch.ones(1)})
        {'weight': tensor([1.])}
    """
    del state
    return params


class Optimizer(NamedTuple):
    """A pair of pure functions for one trial; `torch.vmap` lifts them over many.

    Some rules take their gradients at other parameters than those that are their result; such a rule has a
    third function, which gives the result.

    Example:
        >>> from optsuite.optimizers import adam
        >>> params = {"weight": torch.ones(2)}
        >>> opt = adam(lr=0.1)
        >>> state = opt.init(params)
        >>> updates, state = opt.update({"weight": torch.tensor([2.0, -3.0])}, state, params)
        >>> updates["weight"]
        tensor([-0.1000,  0.1000])
    """

    init: Init
    update: Update
    evaluated: Callable[[OptState, Params], Params] = as_trained
    """Gives the parameters to evaluate, from the state and the parameters that are trained."""


def evaluated_by(inner: Optimizer) -> Callable[[Any, Params], Params]:
    """Return the function `evaluated` of a wrapper of `inner` that has its state in a field `inner`."""
    if inner.evaluated is as_trained:
        return as_trained
    return lambda state, params: inner.evaluated(state.inner, params)


class LearnedOptimizer(NamedTuple):
    """A kind of optimizer whose rule has learned parameters, theta: a dict of tensors.

    The names of theta are those of learned_optimization, joined by `/`.

    Example:
        >>> from optsuite.optimizers import learnable_sgd
        >>> learned = learnable_sgd(initial_lr=0.5)
        >>> opt = learned.optimizer(learned.init())
        >>> params = {"weight": torch.ones(1)}
        >>> opt.update({"weight": torch.ones(1)}, opt.init(params), params)[0]["weight"]
        tensor([-0.5000])
    """

    init: Callable[[], Params]
    """Makes a theta to start learning from, drawn from torch's generator."""
    optimizer: Callable[[Params], Optimizer]
    """Makes the optimizer of a theta, differentiable in it."""


def piece(
    init: Callable[[Params], OptState], update: Callable[[Params, OptState, Params], tuple[Params, OptState]]
) -> Optimizer:
    """Make an optimizer of a rule that needs neither the number of steps nor the loss."""

    def init_piece(params: Params, *, num_steps: Scalar | None = None) -> OptState:
        del num_steps
        return init(params)

    def update_piece(
        grads: Params, state: OptState, params: Params, *, loss: Tensor | None = None
    ) -> tuple[Params, OptState]:
        del loss
        return update(grads, state, params)

    return Optimizer(init_piece, update_piece)


def stateless(update: Callable[[Params, Params], Params]) -> Optimizer:
    """Make an optimizer of a function from (gradients, parameters) to updates."""
    return piece(lambda _: (), lambda grads, state, params: (update(grads, params), state))


def chain(*pieces: Optimizer) -> Optimizer:
    """Feed the updates of each piece to the next as its gradients.

    Args:
        pieces: Optimizers, in the order in which they are applied.

    Returns:
        An optimizer whose state is the tuple of the pieces' states. It is evaluated as the piece is that has
        a function `evaluated` of its own.

    Raises:
        OptsuiteError: Several pieces have one.

    Example:
        >>> from optsuite.optimizers import scale_by_adam, scale_by_lr
        >>> opt = chain(scale_by_adam(eps_root=0.0), scale_by_lr(1e-3))
    """

    def init(params: Params, *, num_steps: Scalar | None = None) -> tuple[OptState, ...]:
        return tuple(one.init(params, num_steps=num_steps) for one in pieces)

    def update(
        grads: Params, state: tuple[OptState, ...], params: Params, *, loss: Tensor | None = None
    ) -> tuple[Params, tuple[OptState, ...]]:
        next_state = []
        for one, old in zip(pieces, state, strict=True):
            grads, new = one.update(grads, old, params, loss=loss)
            next_state.append(new)
        return grads, tuple(next_state)

    own = [number for number, one in enumerate(pieces) if one.evaluated is not as_trained]
    if not own:
        return Optimizer(init, update)
    if len(own) > 1:
        raise OptsuiteError(
            "one piece of a chain may say which parameters are evaluated, "
            f"got {len(own)} that do: leave out all but one of them"
        )

    def evaluated(state: tuple[OptState, ...], params: Params) -> Params:
        return pieces[own[0]].evaluated(state[own[0]], params)

    return Optimizer(init, update, evaluated)


def first_step(params: Params) -> Tensor:
    """Return 0, the number of updates made at the start, on the device of `params`.

    It is a 0-d float32 tensor, which counts exactly up to 2**24.
    """
    device = next((p.device for p in params.values()), None)
    return torch.zeros((), dtype=torch.float32, device=device)


def cast(value: Scalar, like: Tensor) -> Scalar:
    """Convert a 0-d tensor to the dtype of `like`; a Python number needs no conversion."""
    if isinstance(value, Tensor) and value.dtype != like.dtype:
        return value.to(like.dtype)
    return value


def decay_power(decay: Scalar, step: Tensor) -> Tensor:
    """Return decay**step, the weight that a moving average of `step` terms leaves to its start.

    It is float32 whatever the parameters are, as in optax: at a decay of 0.999 the first values of
    1 - decay**step are 1e-5 away from those of float64.
    """
    return torch.pow(cast(decay, step), step)


def add_scaled(tensor: Tensor, other: Tensor, factor: Scalar) -> Tensor:
    """Return tensor + factor * other, computed in one pass over memory."""
    if isinstance(factor, Tensor):
        return torch.addcmul(tensor, other, factor.to(tensor.dtype))
    return torch.add(tensor, other, alpha=factor)


def over_root(grad: Tensor, square: Tensor, eps: Scalar, *, eps_in_root: bool) -> Tensor:
    """Divide by the root of `square`, to which `eps` is added before or after the root is taken."""
    eps = cast(eps, square)
    return grad * torch.rsqrt(square + eps) if eps_in_root else grad / (torch.sqrt(square) + eps)


def signs(tree: Params) -> Params:
    """Return 1, -1 or 0 for each element, and NaN for NaN, which `torch.sign` makes 0.

    So a trial whose gradients are NaN diverges, and does not stand still.
    """
    return tree_map(lambda leaf: torch.where(leaf.isnan(), leaf, torch.sign(leaf)), tree)


def average(old: Params, new: Params, decay: Scalar) -> Params:
    """Return decay * old + (1 - decay) * new."""
    gain = 1 - decay
    return tree_map(lambda m, g: torch.lerp(m, g, cast(gain, m)), old, new)


def average_square(old: Params, new: Params, decay: Scalar) -> Params:
    """Return decay * old + (1 - decay) * new**2.

    `lerp` is not used: its difference of two infinities would make a NaN of an average that has
    overflowed. Kept infinite, the average stops its parameter where it is, as in optax.
    """
    gain = 1 - decay

    def one(v: Tensor, g: Tensor) -> Tensor:
        decayed = v * cast(decay, v)
        if isinstance(gain, Tensor):
            return torch.addcmul(decayed, g * cast(gain, v), g)
        return torch.addcmul(decayed, g, g, value=gain)

    return tree_map(one, old, new)
