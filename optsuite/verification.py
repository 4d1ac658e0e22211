"""Whether two optimizers are the same rule: they take the same steps from the same gradients."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from optsuite._types import Params
from optsuite.errors import HParamError, OptsuiteError, in_words, quoted
from optsuite.noise import generators_kept, seed_generators
from optsuite.optimizers import (
    argument_defaults,
    check_hparams,
    constructor_arguments,
    get_optimizer,
    get_row,
    import_optimizer,
    parse_optimizer,
    set_training,
    takes_loss,
    takes_matrices_only,
)
from optsuite.tree import tree_map
from optsuite.words import aligned, counted

_USUAL_LR = 1e-3
_MAX_STEPS = 100_000  # of which two trajectories fit into memory

# A parameter that starts from 0, as biases do, shows the smallest steps.
_SHAPES = {
    "element": (1,),
    "vector from 0": (7,),
    "tall matrix": (9, 4),
    "wide matrix": (4, 9),
    "matrix from 0": (5, 5),
    "kernel": (3, 2, 3, 3),
}

_Loss: TypeAlias = Callable[[Params, int], Tensor]
"""A loss, of the parameters and the number of the step, from 0."""

_PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


class _Case(NamedTuple):
    """A kind of gradients."""

    loss: Callable[[Tensor, Tensor, int], Tensor]
    """Function of a parameter, normal noise of its shape, and the number of the step, from 0; summed."""
    look_at: str
    """Property of a rule that differs first where this case does, in words."""


# Ordered: the first case that differs tells most.
_CASES = {
    "zeros": _Case(lambda p, noise, _: p * (0 * noise), "weight decay, and division by 0"),
    "random": _Case(lambda p, noise, _: p * noise, "the rule itself"),
    "tiny": _Case(
        lambda p, noise, _: p * (1e-20 * noise),
        "eps, also under the root, where Adam adds 1e-8 here, 0 in torch",
    ),
    "huge": _Case(lambda p, noise, _: p * (1e15 * noise), "what overflows, and clipping"),
    "sparse": _Case(
        lambda p, noise, _: p * torch.where(noise.abs() > 1.5, noise, 0), "elements whose gradient is 0"
    ),
    "sign flips": _Case(lambda p, noise, step: p * (-1) ** step * noise.abs(), "momentum"),
    "quadratic": _Case(lambda p, noise, _: (p - noise).square() / 2, "what depends on the parameters"),
}


class Difference(NamedTuple):
    """A step after which two optimizers are at different parameters."""

    step: int | None
    """Number of the step, from 1; None for the parameters that are evaluated at the end."""
    parameter: str
    share: float
    """Largest difference of an element, as a share of how far one has moved until then."""

    def __str__(self) -> str:
        when = "when evaluated" if self.step is None else f"from step {self.step}"
        return f"{when} by {self.share:.2g} ({self.parameter})"


class Comparison(NamedTuple):
    """The trajectories of two optimizers in one case and precision."""

    case: str
    precision: str
    largest: float
    """The largest share of all steps and parameters."""
    first: Difference | None
    """The first difference that is more than rounding; None if there is none."""


class Verification(NamedTuple):
    """Result of `verify`; as a string it is a table."""

    optimizer: str
    """The optimizer, with the hyperparameters that it was run with."""
    against: str
    num_steps: int
    rtol: float
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]
    """Sentences on all that was left out, and on hyperparameters that differ."""

    @property
    def is_same(self) -> bool:
        """Whether they agree in every case."""
        return all(one.first is None for one in self.comparisons)

    def __str__(self) -> str:
        precisions = list(dict.fromkeys(one.precision for one in self.comparisons))
        words: dict[str, list[str]] = {}
        for one in self.comparisons:
            words.setdefault(one.case, []).append(
                str(one.first) if one.first else f"same to {one.largest:.1g}"
            )
        parted = {one.case for one in self.comparisons if one.first}
        differing = [case for case in words if case in parted]
        verdict = (
            f"they differ in {len(differing)} of {len(words)} cases; look first at "
            f"{_CASES[differing[0]].look_at}"
            if differing
            else "they are the same"
        )
        return "\n".join(
            [
                f"{self.optimizer} against {self.against}, {counted(self.num_steps, 'step')}",
                *aligned([("gradients", *precisions), *((case, *cells) for case, cells in words.items())]),
                f"differences are shares of how far parameters have moved; rounding is up to {self.rtol:g}",
                *self.notes,
                verdict,
            ]
        )


def verify(optimizer: str, against: str, *, num_steps: int = 100, rtol: float = 1e-4) -> Verification:
    """Tell whether two optimizers make the same trajectory, from the same gradients.

    Both step parameters of several shapes, by gradients that are random, zero, tiny (1e-20), huge (1e15),
    sparse, or flip their sign at each step, and of a noisy quadratic, the only ones that depend on the
    parameters; in float32, in which tasks train, and in float64, which shows what rounding hides. Classes
    step in a plain loop, after each backward pass. At the end the parameters to evaluate are compared.

    Args:
        optimizer: Name or import path, as for `Config`, and its hyperparameters: `"Adam+clip"`,
            `"my.py:Mine(lr=0.01, betas=(0.9, 0.99))"`. Where one has no `lr`, it gets that of the other, else
            the default of one of them, else 0.001.
        against: The other optimizer.
        num_steps: Number of updates, 1 to 100,000, which are the whole run for schedules.
        rtol: Largest difference of an element, as a share of how far one of its tensor has moved until
            then, that counts as rounding, besides the rounding of the parameters themselves.

    Raises:
        UnknownNameError: There is no such optimizer.
        HParamError: The text has not that form, or the optimizer has no such hyperparameters.
        OptsuiteError: A step of a class fails.

    Example:
        >>> verify("torch.optim:Adam", "Adam(eps_root=0.0)", num_steps=5).is_same
        True
        >>> differing = verify("torch.optim:Adam", "Adam", num_steps=5)
        >>> {one.case for one in differing.comparisons if one.first}
        {'tiny'}
    """
    if not (1 <= num_steps <= _MAX_STEPS and 0 <= rtol < math.inf):
        raise HParamError(
            f"needed are num_steps from 1 to {_MAX_STEPS:,} and a finite rtol >= 0 "
            f"(got {num_steps} and {rtol})"
        )
    sides = _with_lr([_Side(*parse_optimizer(text)) for text in (optimizer, against)])
    for side in sides:
        check_hparams(side.name, side.hparams)
    shapes, notes = _shapes(sides)
    starts, noises = _drawn(shapes, num_steps)
    comparisons: list[Comparison] = []
    for precision in _PRECISIONS:
        try:
            comparisons += _compared_in(precision, sides, starts, noises, rtol)
        except OptsuiteError as error:
            if precision == "float32":
                raise
            notes.append(f"not compared in {precision}, in which nothing trains: {quoted(error)}")
    if any(one.first for one in comparisons):
        notes += _unlike(*sides)
    notes = list(dict.fromkeys(notes))  # both sides may have the same
    return Verification(str(sides[0]), str(sides[1]), num_steps, rtol, tuple(comparisons), tuple(notes))


class _Side(NamedTuple):
    """One of the two optimizers."""

    name: str
    hparams: Mapping[str, Any]

    def __str__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.hparams.items())
        return f"{self.name}({arguments})"

    @property
    def is_class(self) -> bool:
        return get_row(self.name).program == "torch"

    @property
    def defaults(self) -> dict[str, Any]:
        """Hyperparameters with their defaults."""
        if self.is_class:
            return argument_defaults(self.name)
        return {key: hparam.default for key, hparam in get_row(self.name).hparams.items()}

    def follow(self, case: str, precision: str, starts: Params, noises: Params) -> Params:
        """Return the parameters after each step, and those to evaluate: (steps + 1, ...), in float64."""
        starts, noises = (tree_map(lambda p: p.to(_PRECISIONS[precision]), tree) for tree in (starts, noises))
        num_steps = len(next(iter(noises.values())))

        def loss(params: Params, step: int) -> Tensor:
            parts = (_CASES[case].loss(p, noises[name][step], step).sum() for name, p in params.items())
            return torch.stack(list(parts)).sum()

        run = _run_class if self.is_class else _run_pure
        trajectory: list[Params] = []
        try:
            with generators_kept():
                seed_generators(0)
                trajectory.extend(run(self.name, self.hparams, starts, loss, num_steps))
        except OptsuiteError:
            raise  # it says what is wrong
        except (Exception, SystemExit) as error:
            when = f"at step {len(trajectory) + 1}" if len(trajectory) < num_steps else "when evaluated"
            raise OptsuiteError(
                f"`{self}` fails {when} of {case} gradients in {precision} ({in_words(error)})"
            ) from error
        return {name: torch.stack([params[name] for params in trajectory]).double() for name in starts}


def _with_lr(sides: list[_Side]) -> list[_Side]:
    """Give a learning rate to those that have none."""
    given = [side.hparams["lr"] for side in sides if "lr" in side.hparams]
    usual = [value for side in sides if isinstance(value := side.defaults.get("lr"), float | int)]
    lr = [*given, *usual, _USUAL_LR][0]
    return [
        side._replace(hparams={"lr": lr, **side.hparams}) if "lr" in side.defaults else side for side in sides
    ]


def _unlike(left: _Side, right: _Side) -> list[str]:
    """Say which hyperparameters of the same name have different values."""
    one, other = ({**side.defaults, **side.hparams} for side in (left, right))
    shared = [key for key in one if key in other and inspect.Parameter.empty not in (one[key], other[key])]
    unlike = [f"{key} ({one[key]!r} and {other[key]!r})" for key in shared if one[key] != other[key]]
    return [f"hyperparameters that differ: {', '.join(unlike)}"] if unlike else []


def _shapes(sides: list[_Side]) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """Return the shapes that both take, and notes on it."""
    shapes, notes = _SHAPES, []
    for side in sides:
        if side.is_class and takes_matrices_only(side.name, side.hparams):
            shapes = {name: shape for name, shape in shapes.items() if len(shape) == 2}
            notes.append(f"on matrices alone, all that `{side.name}` takes")
    return shapes, notes


def _drawn(shapes: Mapping[str, tuple[int, ...]], num_steps: int) -> tuple[Params, Params]:
    """Draw the parameters to start from, and noise for each step, (steps, ...)."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    starts = {name: normal(*shape) * ("from 0" not in name) for name, shape in shapes.items()}
    noises = {name: normal(num_steps, *shape) for name, shape in shapes.items()}
    # None so small that eps would matter, but where that is asked for.
    return starts, tree_map(lambda noise: noise + 0.1 * noise.sign(), noises)


def _run_pure(
    name: str, hparams: Mapping[str, Any], starts: Params, loss_at: _Loss, num_steps: int
) -> Iterator[Params]:
    """Step pure functions; yield the parameters after each step, then those to evaluate."""
    opt = get_optimizer(name, **hparams)
    # In training, too, the first update is at step 0, and one more follows the steps of a run.
    params, state = starts, opt.init(starts, num_steps=num_steps - 1)
    for step in range(num_steps):
        leaves = tree_map(lambda p: p.clone().requires_grad_(), params)
        loss = loss_at(leaves, step)
        grads = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
        with torch.no_grad():
            updates, state = opt.update(grads, state, params, loss=loss.detach())
            params = tree_map(torch.add, params, updates)
        yield params
    yield opt.evaluated(state, params)


def _run_class(
    path: str, hparams: Mapping[str, Any], starts: Params, loss_at: _Loss, num_steps: int
) -> Iterator[Params]:
    """Step an object of a class in a plain loop; yield as `_run_pure`."""
    cls = import_optimizer(path)
    params: Params = {name: nn.Parameter(start.clone()) for name, start in starts.items()}
    optimizer = cls(list(params.values()), **constructor_arguments(cls, hparams, num_steps))
    set_training(optimizer, is_training=True)
    take_step: Any = optimizer.step
    for step in range(num_steps):
        optimizer.zero_grad()
        loss = loss_at(params, step)
        loss.backward()  # type: ignore[no-untyped-call]
        take_step(**({"loss": loss.detach()} if takes_loss(cls) else {}))
        yield tree_map(lambda p: p.detach().clone(), params)
    set_training(optimizer, is_training=False)
    yield tree_map(lambda p: p.detach().clone(), params)


def _compared_in(
    precision: str, sides: Sequence[_Side], starts: Params, noises: Params, rtol: float
) -> list[Comparison]:
    """Compare two optimizers in every case, one after the other, as a trajectory is large."""
    found = []
    for case in _CASES:
        ways = [side.follow(case, precision, starts, noises) for side in sides]
        if case == "random":
            _check_moves(starts, ways)
        found.append(_compared(case, precision, starts, ways, rtol))
    return found


def _check_moves(starts: Params, ends: Sequence[Params]) -> None:
    if all(bool((way[name] == start).all()) for way in ends for name, start in starts.items()):
        raise HParamError("neither optimizer moves any parameter: give a larger `lr`, or more steps")


def _compared(case: str, precision: str, starts: Params, ways: Sequence[Params], rtol: float) -> Comparison:
    """Compare two trajectories, of (steps + 1, ...)."""
    left, right = ways
    shares = {
        name: _shares(start, left[name], right[name], torch.finfo(_PRECISIONS[precision]).eps)
        for name, start in starts.items()
    }
    share, number = torch.stack(list(shares.values())).max(dim=0)  # of the worst parameter, at each step
    largest = share.max().item()
    if largest <= rtol:
        return Comparison(case, precision, largest, None)
    at = int((share > rtol).nonzero()[0])
    step = at + 1 if at < len(share) - 1 else None
    return Comparison(case, precision, largest, Difference(step, list(starts)[number[at]], share[at].item()))


def _shares(start: Tensor, left: Tensor, right: Tensor, eps: float) -> Tensor:
    """Return the largest difference as a share of the longest way, after each step: (steps + 1,).

    An element that diverges in one alone makes it infinite. The rounding of parameters counts for nothing.
    """
    moves, sizes = [], []
    for trajectory in (left, right):
        finite = trajectory.nan_to_num(0.0, 0.0, 0.0).flatten(1)
        before = torch.cat([start.double().flatten()[None], finite[:-1]])
        moves.append((finite - before).abs().cumsum(0).amax(1))
        sizes.append(finite.abs().amax(1).cummax(0).values)
    is_apart = left.isfinite() != right.isfinite()
    error = (left - right).abs().nan_to_num(0.0, 0.0).where(~is_apart, torch.inf).flatten(1).amax(1)
    rounding = torch.arange(1, len(left) + 1) * eps * torch.maximum(*sizes)
    share = (error - rounding).clamp(min=0) / torch.maximum(*moves)
    return torch.where(error <= rounding, 0.0, share)
