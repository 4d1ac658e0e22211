"""The table of optimizers by name: how each is made, checked, trained and costed."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import torch

from optsuite._code import code_of_functions
from optsuite.errors import HParamError, OptsuiteError, UnknownNameError
from optsuite.optimizers._accumulate import accumulate
from optsuite.optimizers._adabelief import adabelief
from optsuite.optimizers._adafactor import adafactor
from optsuite.optimizers._adagrad import adagrad
from optsuite.optimizers._adam import adam, adamw
from optsuite.optimizers._ademamix import ademamix
from optsuite.optimizers._adopt import adopt
from optsuite.optimizers._averaged import averaged
from optsuite.optimizers._base import chain, stateless
from optsuite.optimizers._checkpoints import Checkpoint, is_pinned, pinned, read_checkpoint
from optsuite.optimizers._domains import (
    ARGUMENT,
    BOOL,
    CHECKPOINT,
    DOMAINS,
    FRACTION,
    NON_NEGATIVE,
    POSITIVE,
    POSITIVE_FRACTION,
    SHARE,
    Domain,
    Hparam,
    HparamValue,
    check_all,
    check_value,
    hparam_of,
    plain,
)
from optsuite.optimizers._fromage import fromage
from optsuite.optimizers._graft import graft
from optsuite.optimizers._import_path import argument_defaults, code_of_import_path, is_import_path
from optsuite.optimizers._lamb import lamb
from optsuite.optimizers._lars import lars
from optsuite.optimizers._learned import LEARNED_OPTIMIZERS
from optsuite.optimizers._lion import lion
from optsuite.optimizers._mars import mars_adamw
from optsuite.optimizers._muon import muon, muon_flops
from optsuite.optimizers._nadamw import nadamw, nadamw_cosine_lr
from optsuite.optimizers._opt_list import opt_list, own_list
from optsuite.optimizers._pieces import clip as _clip
from optsuite.optimizers._prodigy import prodigy
from optsuite.optimizers._radam import radam
from optsuite.optimizers._rmsprop import rmsprop
from optsuite.optimizers._schedule_free import schedule_free_adamw, schedule_free_sgd
from optsuite.optimizers._scheduled_adam import adam_exp_decay_lr, adam_sqrt_decay_lr, piecewise_linear_adam
from optsuite.optimizers._sgd import sgd, sgdm
from optsuite.optimizers._shampoo import GraftType, shampoo, shampoo_flops
from optsuite.optimizers._signum import signum
from optsuite.optimizers._sm3 import sm3
from optsuite.optimizers._soap import soap, soap_flops
from optsuite.optimizers._try_out import check_arguments
from optsuite.optimizers._wrappers import WRAPPERS, check_together, split_wrapped, wrapped_row
from optsuite.optimizers._yogi import yogi
from optsuite.tree import tree_map

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optsuite.optimizers._base import Optimizer, Scalar
    from optsuite.optimizers._blocks import Shape
    from optsuite.optimizers._roles import Roles


class LrGrid(NamedTuple):
    """A family of configs that differ in their learning rate, offered as hparam sets."""

    published: tuple[tuple[int, int], ...]
    """(steps, repetitions) of the sets that the reference published."""
    opt: str = ""
    """Name of the optimizer as its users call it, which begins the labels; empty for the row's name."""
    hparams: Mapping[str, float | str] = MappingProxyType({})
    """Hyperparameters that all configs share."""
    name: str = ""
    """Name of the family; empty for `opt` with `LR` at its end."""


def _no_flops(*_: object, **__: object) -> int:
    return 0


def _as_given(hparams: Mapping[str, Any], *_: object) -> Mapping[str, Any]:
    return hparams


class OptimizerRow(NamedTuple):
    """Row of the table: how one optimizer is made, checked, trained and costed.

    Rows of every kind, classes by import path included, are asked the same questions.
    """

    program: Literal["pure", "torch"]
    """Kind of program that trains it: one of pure functions, or one that steps objects of a torch class."""
    factory: Callable[..., Optimizer]
    """Function that makes the pure functions from hyperparameters; raises if the optimizer has none."""
    check: Callable[[str, Mapping[str, HparamValue]], None]
    """Function of the optimizer's name and hyperparameters that raises `HParamError` for bad ones."""
    hparams: Mapping[str, Hparam] = MappingProxyType({})
    """Hyperparameters that are arguments of the program; none where objects keep their own.

    Those whose domain allows tensors may differ between trials of one program.
    """
    lr_grids: tuple[LrGrid, ...] = ()
    """Families of hparam sets over its learning rate."""
    flops: Callable[..., int] = _no_flops
    """Function of the parameters' shapes and the hyperparameters that counts the operations of an update.

    A few passes over the parameters are left out.
    """
    is_overwritable: bool = False
    """Whether compiled steps may write over parameters and state.

    They may if an update hands none of them on to another place, not as a clone either, since the compiler
    drops the clone and reads what has been written over.
    """
    is_schedulable: bool = False
    """Whether the factory takes a schedule as its `lr`, which the annotation of that argument says."""
    pin: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _as_given
    """Function of a config's hyperparameters that adds to the name of a file the hash of its content."""
    prepare: Callable[[Mapping[str, Any], torch.device | None], Mapping[str, Any]] = _as_given
    """Function of hyperparameters and a device, None for torch's default, that makes what the factory takes.

    It is called once for a program, and may read files.
    """
    code: Callable[[], str] = str
    """Function that gives a hash of the user's code that makes the optimizer, or of his list of OptList.

    It is empty for what is of this package.
    """
    takes_roles: bool = False
    """Whether the factory and `flops` have an argument `roles`, the roles of the parameters by name.

    It is no hyperparameter: a task gives its own.
    """

    def with_roles(self, roles: Callable[[], Roles | None]) -> dict[str, Any]:
        """Return the argument `roles` for the factory or `flops`, by name; nothing where they do not take it.

        Args:
            roles: Function that finds the roles, called only if they are needed.
        """
        return {"roles": roles()} if self.takes_roles else {}


def _row(
    factory: Callable[..., Optimizer],
    *lr_grids: LrGrid,
    together: Callable[..., object] = dict,
    **own: Domain,
) -> OptimizerRow:
    """Read hyperparameters and their defaults off the factory's signature.

    Args:
        factory: Makes the optimizer.
        lr_grids: Families of hparam sets over its learning rate.
        together: Raises for hyperparameters that are good one by one but not together; `dict` takes any.
        own: Domains that replace those of `DOMAINS` for this optimizer.
    """
    parameters = dict(inspect.signature(factory).parameters)
    takes_roles = parameters.pop("roles", None) is not None
    hparams = {name: hparam_of(p, own) for name, p in parameters.items()}
    return OptimizerRow(
        "pure",
        factory,
        partial(check_all, hparams, together),
        hparams,
        lr_grids,
        is_overwritable=True,
        is_schedulable="lr" in parameters and "LrSchedule" in str(parameters["lr"].annotation),
        takes_roles=takes_roles,
    )


def _accumulated(row: OptimizerRow, *lr_grids: LrGrid) -> OptimizerRow:
    """Return the row of an optimizer that is run on the means of `num_average` gradients."""

    def factory(*, num_average: Scalar = 1, **hparams: HparamValue) -> Optimizer:
        return accumulate(row.factory(**hparams), num_average)

    hparams = {**row.hparams, "num_average": Hparam(1, DOMAINS["num_average"])}
    return row._replace(
        factory=factory, check=partial(check_all, hparams, dict), hparams=hparams, lr_grids=lr_grids
    )


def _without_nan() -> Optimizer:
    return stateless(lambda grads, _: tree_map(lambda g: torch.where(g.isnan(), 0.0, g), grads))


def _clipped_averaged(row: OptimizerRow) -> OptimizerRow:
    """Return the row of an optimizer whose gradients are clipped, and whose parameters are averaged beside.

    Learned optimizers are trained so. Elements of gradients that are NaN count as 0, as in
    `learned_optimization/outer_trainers/gradient_learner.py`.
    """
    domains = {"clip": POSITIVE, "average": FRACTION}
    own = {name: Hparam(inspect.Parameter.empty, domain) for name, domain in domains.items()}

    def factory(*, clip: Scalar, average: Scalar, **hparams: HparamValue) -> Optimizer:
        return averaged(chain(_without_nan(), _clip(clip), row.factory(**hparams)), average)

    def check(name: str, hparams: Mapping[str, HparamValue]) -> None:
        check_all(own, dict, name, {key: hparams[key] for key in own if key in hparams})
        inner = {key: value for key, value in hparams.items() if key not in own}
        row.check(name.removesuffix(CLIPPED_AVERAGED), inner)

    hparams = {**row.hparams, **own}
    return row._replace(factory=factory, check=check, hparams=hparams, lr_grids=(), is_overwritable=False)


def _check_class(path: str, hparams: Mapping[str, HparamValue]) -> None:
    """Check the arguments of a class, by their values and by making one and letting it step."""
    domains, defaults = {"lr": NON_NEGATIVE}, argument_defaults(path)
    for wrapper in split_wrapped(path)[1:]:
        domains |= {key: hparam.domain for key, hparam in WRAPPERS[wrapper].hparams.items()}
    for key, value in hparams.items():
        # A word or a number would be as good as True for most.
        other = BOOL if isinstance(defaults.get(key), bool) else ARGUMENT
        check_value(path, key, value, domains.get(key, other)._replace(may_be_tensor=False))
    check_arguments(path, hparams)


def _class_row(path: str) -> OptimizerRow:
    """Return the row of a `torch.optim.Optimizer` class, which is imported when it is first needed."""

    def refuse(**_: HparamValue) -> Optimizer:
        raise OptsuiteError(
            f"`{path}` is a class, whose objects change parameters in place; here are pairs of pure "
            "functions only: name it in a `Config` to train it, or call it yourself"
        )

    code = partial(code_of_import_path, path)
    return OptimizerRow("torch", refuse, _check_class, code=code)


def _learned_rows() -> Iterator[tuple[str, OptimizerRow]]:
    """Yield the rows of every kind of learned optimizer, whose theta is read from a checkpoint.

    A kind is run as it is, on the means of gradients, and as far along Shampoo's steps as it would step.
    """
    hparams = {"theta": Hparam(inspect.Parameter.empty, CHECKPOINT)}
    for kind in LEARNED_OPTIMIZERS:
        row = OptimizerRow(
            "pure",
            lambda theta: theta.optimizer(),
            partial(check_all, hparams, dict),
            hparams,
            flops=_learned_flops,
            is_overwritable=True,
            pin=partial(_pin_theta, kind),
            prepare=partial(_prepare_theta, kind),
        )
        yield kind, row
        yield f"{kind}GradAccum", _accumulated(row)
        yield f"{kind}GraftedShampoo", row._replace(factory=_graft_on_shampoo, flops=_grafted_flops)


def _graft_on_shampoo(theta: Checkpoint) -> Optimizer:
    """Graft as the reference's `GraftedShampoo_LOpt` does."""
    return graft(magnitude=theta.optimizer(), direction=shampoo(lr=1.0, block_size=128))


def _read_theta(kind: str, url: str) -> Checkpoint:
    checkpoint = read_checkpoint(url)
    if checkpoint.kind != kind:
        raise HParamError(
            f"`theta` of `{kind}` must be a checkpoint of `{kind}`, but `{url}` is one of "
            f"`{checkpoint.kind}`: train it as `{checkpoint.kind}`, or give another checkpoint"
        )
    return checkpoint


def _pin_theta(kind: str, hparams: Mapping[str, Any]) -> Mapping[str, Any]:
    url = hparams["theta"]
    return hparams if is_pinned(url) else {**hparams, "theta": pinned(url, _read_theta(kind, url))}


def _prepare_theta(kind: str, hparams: Mapping[str, Any], device: torch.device | None) -> Mapping[str, Any]:
    checkpoint = _read_theta(kind, hparams["theta"])
    return {**hparams, "theta": checkpoint.to(device or torch.get_default_device())}


def _learned_flops(shapes: Iterable[Shape], *, theta: str, **_: object) -> int:
    """Return the operations of the networks: a multiplication and an addition for each weight."""
    return 2 * _num_weights(theta) * sum(map(math.prod, shapes))


def _grafted_flops(shapes: Iterable[Shape], *, theta: str) -> int:
    shapes = list(shapes)
    return _learned_flops(shapes, theta=theta) + shampoo_flops(shapes)


@functools.cache  # a config's theta names the content
def _num_weights(theta: str) -> int:
    return sum(tensor.numel() for tensor in read_checkpoint(theta).theta.values())


_OWN = LrGrid(())
_10K = LrGrid(((10_000, 5),))
_LONG = LrGrid(((100_000, 5), (300_000, 5)))


def _shampoo_grid(graft_type: str) -> LrGrid:
    words = "".join(word.capitalize() for word in graft_type.split("_"))
    return _10K._replace(opt=f"Shampoo128{words}", hparams={"graft_type": graft_type, "block_size": 128})


OPTIMIZERS: dict[str, OptimizerRow] = {
    "ADOPT": _row(adopt, _OWN),
    "AdaBelief": _row(adabelief, _10K),
    "AdEMAMix": _row(ademamix, _OWN, alpha=NON_NEGATIVE),
    "AdaGrad": _row(adagrad, _10K),
    "Adafactor": _row(adafactor, _10K),
    "Adam": _row(adam, LrGrid(((1000, 5), (2000, 5), (10_000, 1), (10_000, 5), (100_000, 5), (300_000, 5)))),
    "AdamExpDecayLR": _row(adam_exp_decay_lr, _LONG),
    "AdamGradAccum": _accumulated(
        _row(adam), LrGrid(((100_000, 5),), opt="Grad10Adam", hparams={"num_average": 10})
    ),
    "AdamSqrtDecayLR": _row(adam_sqrt_decay_lr, _LONG),
    "AdamW": _row(adamw, _10K),
    "Fromage": _row(fromage, _10K),
    "Lamb": _row(lamb, _10K),
    "Lars": _row(lars, _10K),
    "Lion": _row(lion, _OWN),
    "MARSAdamW": _row(mars_adamw, _OWN),
    "Muon": _row(muon, LrGrid(()))._replace(flops=muon_flops),
    "NAdamW": _row(nadamw),
    "NAdamWCosineLR": _row(nadamw_cosine_lr),
    "OptList": _row(opt_list)._replace(code=own_list),
    "PiecewiseLinearAdam": _row(piecewise_linear_adam, together=piecewise_linear_adam),
    "Prodigy": _row(prodigy, _OWN),
    "RAdam": _row(radam, LrGrid(((10_000, 5), (100_000, 5), (300_000, 5)))),
    # The reference writes both RMSProp families into the folders `RMSProp_lr...`.
    "RMSProp": _row(rmsprop, _10K, _10K._replace(opt="RMSPropMom", hparams={"momentum": 0.9})),
    "SGD": _row(sgd, LrGrid(((2000, 5), (10_000, 5)))),
    "SGDGradAccum": _accumulated(_row(sgd)),
    "SGDM": _row(sgdm, LrGrid(((2000, 5), (10_000, 5)))),
    "SGDMGradAccum": _accumulated(_row(sgdm)),
    "SM3": _row(
        sm3,
        _10K,
        _10K._replace(opt="SM3beta2_999", hparams={"beta2": 0.999}, name="SM3beta2_999_LR"),
        beta2=SHARE,
    ),
    "ScheduleFreeAdamW": _row(schedule_free_adamw, _OWN, beta1=POSITIVE_FRACTION, warmup_steps=NON_NEGATIVE),
    "ScheduleFreeSGD": _row(schedule_free_sgd, _OWN, momentum=POSITIVE_FRACTION, warmup_steps=NON_NEGATIVE),
    "SOAP": _row(soap, LrGrid(()))._replace(flops=soap_flops),
    "Shampoo": _row(shampoo, *map(_shampoo_grid, get_args(GraftType)))._replace(flops=shampoo_flops),
    "Signum": _row(signum, _OWN),
    "Yogi": _row(yogi, _10K),
    **dict(_learned_rows()),
}
"""The rows of the optimizers of pure functions, by name; `get_row` knows classes by import path as well."""


def list_optimizers() -> list[str]:
    """Return the names that `get_optimizer` accepts, sorted.

    Example:
        >>> "Adam" in list_optimizers()
        True
    """
    return sorted(OPTIMIZERS)


CLIPPED_AVERAGED = "ClippedAveraged"
"""End of the names under which `get_row` knows each optimizer of the table with clipping and averaging."""


def get_row(name: str) -> OptimizerRow:
    """Return how an optimizer is trained; nothing is imported for it.

    Args:
        name: One of `list_optimizers()`; one of them and `CLIPPED_AVERAGED`, which has the hyperparameters
            `clip`, of the elements of gradients, and `average`, the decay of the parameters' average; or
            the import path of a `torch.optim.Optimizer` class, e.g.
            `torch.optim:NAdam` or `path/to/my.py:Mine`. Names of `WRAPPERS` may follow, in the order of
            that table, e.g. `Adam+cosine+clip`; the hyperparameters of wrappers stand beside the others.

    Raises:
        UnknownNameError: There is no such optimizer or wrapper.
        HParamError: Wrappers do not fit the optimizer, or each other.

    Example:
        >>> get_row("Adam").program, get_row("torch.optim:NAdam").program
        ('pure', 'torch')
    """
    inner, *wrappers = split_wrapped(name)
    if wrappers and not is_import_path(name):
        return wrapped_row(name, inner, get_row(inner), wrappers)
    if is_import_path(name):
        check_together(name, inner, wrappers)
        return _class_row(name)
    if (inner := name.removesuffix(CLIPPED_AVERAGED)) in OPTIMIZERS and inner != name:
        return _clipped_averaged(OPTIMIZERS[inner])
    if name not in OPTIMIZERS:
        raise UnknownNameError("optimizer", name, OPTIMIZERS)
    return OPTIMIZERS[name]


def register_optimizer(name: str, factory: Callable[..., Optimizer]) -> None:
    """Add an optimizer of your own to the table; it trains as those of this package do.

    Args:
        name: Letters, digits and `_`.
        factory: Gives an `Optimizer` for its hyperparameters, which are its arguments, by name; its functions
            are pure, all that changes being in the state, since compiled code is what they were when they
            were traced. Numbers that differ between trials come as 0-d tensors. A hyperparameter that is
            called as one of this package, such as `beta1`, may take the same values; any other is a finite
            number, a bool or a word. An argument `roles` is none: it gets the roles of a task's parameters
            by name, and needs a default. The text of its file, and of the one that registers it, is part of
            a trial's identity, with the files that these import from packages that are not installed.

    Warns:
        RuntimeWarning: There is no text of it.

    Raises:
        OptsuiteError: The name is no word, another optimizer has it, or the factory takes arguments
            without names.

    Example:
        >>> from optsuite.optimizers import chain, scale_by_lr, trace
        >>> def heavy_ball(lr, *, inertia=0.9):
        ...     return chain(trace(inertia), scale_by_lr(lr))
        >>> register_optimizer("HeavyBall", heavy_ball)
        >>> opt = get_optimizer("HeavyBall", lr=0.1, inertia=0.5)
    """
    if not re.fullmatch(r"\w+", name):
        raise OptsuiteError(f"an optimizer's name is made of letters, digits and `_` (got `{name}`)")
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise OptsuiteError(f"the factory of `{name}` must name its hyperparameters (got `{parameter}`)")
    if name not in OPTIMIZERS:
        digest = code_of_functions([factory], name).digest
        OPTIMIZERS[name] = _row(factory)._replace(is_overwritable=False, code=lambda: digest)
    if OPTIMIZERS[name].factory is not factory:
        raise OptsuiteError(f"an optimizer `{name}` exists already: choose another name")


def get_optimizer(name: str, /, *, roles: Roles | None = None, **hparams: HparamValue) -> Optimizer:
    """Make an optimizer by name.

    Args:
        name: As for `get_row`, but no class.
        roles: Roles of the parameters by name, such as `Task.roles`, for rules that treat them differently;
            None for what their shapes tell.
        hparams: Python values, NumPy's numbers, or 0-d tensors in place of numbers, which may be out of
            range unnoticed: looking at them would wait for the device. For a schedule in place of `lr`
            call the factory itself: `adam(lr=schedule)`. The `theta` of a learned optimizer is a path or
            URL as for `read_checkpoint`; the file is read here, which compiled code cannot do, and theta
            comes to torch's default device.

    Raises:
        UnknownNameError: There is no such optimizer.
        HParamError: A hyperparameter is unknown, missing, of the wrong type or out of range.
        StorageError: A checkpoint cannot be read.
        OptsuiteError: It is the import path of a class, which is no pair of pure functions.

    Example:
        >>> opt = get_optimizer("Adam", lr=1e-3)
    """
    row, hparams = get_row(name), plain(hparams)
    row.check(name, hparams)
    return row.factory(**row.prepare(hparams, None), **row.with_roles(lambda: roles))


def check_hparams(name: str, hparams: Mapping[str, HparamValue]) -> None:
    """Check hyperparameters before anything is trained.

    Args:
        name: As for `get_row`.
        hparams: As for `get_optimizer`; for a class, arguments of its constructor.

    Raises:
        UnknownNameError: There is no such optimizer.
        HParamError: A hyperparameter is unknown, missing, of the wrong type or out of range; or the
            import path leads nowhere, or to a class that cannot be used.

    Example:
        >>> check_hparams("Adam", {"lr": 1e-3})
        >>> check_hparams("torch.optim:NAdam", {"lr": 1e-3, "betas": (0.9, 0.99)})
    """
    get_row(name).check(name, plain(hparams))
