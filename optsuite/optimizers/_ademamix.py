"""AdEMAMix."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.errors import HParamError
from optsuite.optimizers._adam import AdamState, init_moments, next_moments
from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar, add_scaled, cast, chain, decay_power
from optsuite.optimizers._pieces import add_decayed_weights, scale_by_lr
from optsuite.tree import tree_map


class AdEMAMixState(NamedTuple):
    """State of `scale_by_ademamix`."""

    adam: AdamState  # with the fast average
    slow: Params  # the slow moving average of the gradient, shaped like params
    warmup_steps: Tensor  # (), updates until alpha and the slow decay are reached


def scale_by_ademamix(
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    beta3: Scalar = 0.9999,
    alpha: Scalar = 5.0,
    slow_warmup: Scalar = 1.0,
    eps: Scalar = 1e-8,
) -> Optimizer:
    """Add a second average of the gradient, which forgets slowly, to Adam's.

    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; n = b n + (1 - b) g; at the t-th update it
    gives (m / (1 - beta1^t) + a n) / (sqrt(v / (1 - beta2^t)) + eps). With s = t / (slow_warmup num_steps),
    at most 1, a is s alpha, and 1 / log b goes in a straight line from 1 / log beta1 to 1 / log beta3.

    Args:
        beta1: In [0, 1).
        beta2: In [0, 1).
        beta3: In [0, 1), the b of the end.
        alpha: >= 0, the a of the end.
        slow_warmup: >= 0, in runs; 0 has a and b at their ends from the start.
        eps: > 0, added to the root.

    Raises:
        HParamError: Raised by `init` if `num_steps` is None and `slow_warmup` is not the number 0.

    Source: Pagliardini et al., https://arxiv.org/abs/2409.03137, algorithm 1 and its schedulers.

    Example:
        >>> opt = chain(scale_by_ademamix(slow_warmup=0.0), scale_by_lr(1e-3))
    """
    fast_rate, slow_rate = _inverse_log(beta1), _inverse_log(beta3)

    def init(params: Params, *, num_steps: Scalar | None = None) -> AdEMAMixState:
        if num_steps is None and (isinstance(slow_warmup, Tensor) or slow_warmup != 0):
            raise HParamError(
                "the slow average follows the progress of the run: `init` needs `num_steps`, the number of "
                "updates that will be made (got None), or an AdEMAMix with `slow_warmup=0`"
            )
        adam = init_moments(params)
        warmup_steps = adam.step + slow_warmup * (0 if num_steps is None else num_steps)
        return AdEMAMixState(adam, tree_map(torch.zeros_like, params), warmup_steps)

    def update(
        grads: Params, state: AdEMAMixState, params: Params, *, loss: Tensor | None = None
    ) -> tuple[Params, AdEMAMixState]:
        del params, loss
        adam = next_moments(state.adam, grads, beta1, beta2)
        share = torch.clamp(adam.step / state.warmup_steps, max=1)
        slow_gain = -torch.expm1(1 / ((1 - share) * fast_rate + share * slow_rate))
        slow = tree_map(lambda n, g: torch.lerp(n, g, cast(slow_gain, n)), state.slow, grads)
        updates = _mixture(adam, slow, share * alpha, beta1, beta2, eps)
        return updates, AdEMAMixState(adam, slow, state.warmup_steps)

    return Optimizer(init, update)


def _mixture(
    adam: AdamState, slow: Params, slow_weight: Tensor, beta1: Scalar, beta2: Scalar, eps: Scalar
) -> Params:
    """Return (mu + slow_weight slow) / (sqrt(nu) + eps), with mu and nu corrected for their start at 0."""
    correction, square_correction = (1 - decay_power(beta, adam.step) for beta in (beta1, beta2))

    def direction(m: Tensor, v: Tensor, n: Tensor) -> Tensor:
        root = torch.sqrt(v / cast(square_correction, v)) + cast(eps, v)
        return add_scaled(m / cast(correction, m), n, slow_weight) / root

    return tree_map(direction, adam.mu, adam.nu, slow)


def _inverse_log(decay: Scalar) -> Scalar:
    """Return 1 / log(decay): minus the number of updates in which an average forgets."""
    if isinstance(decay, Tensor):
        return 1 / torch.log(decay)
    return 1 / math.log(decay) if decay > 0 else -0.0  # as a tensor has it: from below


def ademamix(
    lr: Scalar | LrSchedule,
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    beta3: Scalar = 0.9999,
    alpha: Scalar = 5.0,
    slow_warmup: Scalar = 1.0,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
) -> Optimizer:
    """Make AdEMAMix: p -= lr ((m / (1 - beta1^t) + a n) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay p).

    Args:
        lr: Learning rate, >= 0, or a schedule; it multiplies the decay too.
        beta1: Decay of the fast moving average m of the gradient, in [0, 1).
        beta2: Decay of the moving average v of its square, in [0, 1).
        beta3: Decay of the slow moving average n of the gradient at the end of the warm-up, in [0, 1).
        alpha: Weight a of n at the end of the warm-up, >= 0.
        slow_warmup: Length of the warm-up of beta3 and alpha, in runs: 1, as in the paper, for all of the
            run, for which `init` needs `num_steps`; 0 for none.
        eps: > 0, added to the root.
        weight_decay: >= 0, for every tensor.

    Source: Pagliardini et al., https://arxiv.org/abs/2409.03137, algorithm 1 and its schedulers.

    Example:
        >>> params = {"weight": torch.ones(2)}
        >>> opt = ademamix(lr=1e-3)
        >>> state = opt.init(params, num_steps=1000)
    """
    return chain(
        scale_by_ademamix(
            beta1=beta1, beta2=beta2, beta3=beta3, alpha=alpha, slow_warmup=slow_warmup, eps=eps
        ),
        add_decayed_weights(weight_decay),
        scale_by_lr(lr),
    )
