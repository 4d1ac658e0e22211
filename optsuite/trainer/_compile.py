"""Compilation by torch's Inductor where there is a compiler and the run is long enough to buy it back.

A function is traced to a graph of plain operators, which Inductor makes into code and keeps in files by the
content of the graph: a gradient is compiled once for all optimizers of a task and all sessions on a machine.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast, final

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten

from optsuite.errors import in_words
from optsuite.tasks import Task

# Compilation takes a tenth of a second an operator, and saves a call of it some 60 us (one of a single trial
# 30 us), evaluations included.
_MIN_CALLS = 2000
_MIN_SINGLE_CALLS = 3000
# Graphs of few operators are compiled in seconds, and kept for all cells of a task: that pays for short runs.
_FEW_OPS, _MIN_CALLS_OF_FEW = 100, 200

# Numbers, at most so many, that so many times more are computed from, are computed apart.
_MOST_NUMBERS, _MUCH_MORE = 4096, 8

_Graph: TypeAlias = Callable[..., Sequence[Tensor]]
_Shapes: TypeAlias = tuple[tuple[torch.Size, tuple[int, ...], torch.dtype], ...]


class ImpureError(Exception):
    """A function that computes something else when it is called again."""


def compiling_pays(task: Task, num_calls: int, device: torch.device, *, is_single: bool) -> bool:
    """Tell whether compiling gradients and evaluations pays; the answer is the same in every run.

    Args:
        task: The task.
        num_calls: Number of steps, over all grids that share the program.
        device: Where it runs.
        is_single: Whether its grids hold one trial.
    """
    return is_long(task, num_calls, is_single=is_single) and can_compile(device.type)


def is_long(task: Task, num_calls: int, *, is_single: bool) -> bool:
    """Tell whether so many calls buy a compilation back, where there is a compiler."""
    if (
        task.batch_dims
    ):  # trainings within a loss: ten steps of the smallest network compile for eight minutes
        return False
    if is_single:
        return num_calls >= _MIN_SINGLE_CALLS
    return num_calls >= (_MIN_CALLS_OF_FEW if 0 <= task.num_ops <= _FEW_OPS else _MIN_CALLS)


def updates_are_long(num_calls: int) -> bool:
    """Tell whether so many updates, which each optimizer has its own of, buy their compilation back."""
    return num_calls >= _MIN_CALLS


@functools.cache
def can_compile(device_type: str) -> bool:
    """Tell whether a small program compiles and runs here, which is tried once per process."""
    try:
        Compiled(lambda x: torch.sin(x) + 1)(torch.zeros(8, device=device_type))
    except Exception as error:  # noqa: BLE001 - whatever the tool chain lacks, the eager path works
        warnings.warn(
            f"torch cannot compile here ({in_words(error)}): training runs uncompiled, which is slower",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


@final
class Compiled:
    """A function of trees of tensors, compiled as one graph for each set of shapes that it is called with.

    It may write into its arguments. What it closes over is part of the graph: numbers, and tensors that are
    not changed later.

    Args:
        fn: The function.
        is_known: Whether it is known to be pure; else it is traced twice, to see whether it is.

    Raises:
        ImpureError: Raised by the first call, if the two traces differ.
    """

    def __init__(self, fn: Callable[..., Any], *, is_known: bool = True) -> None:
        self._fn, self._is_known = fn, is_known
        self._made: dict[_Shapes, tuple[_Graph, TreeSpec]] = {}

    def __call__(self, *args: Any) -> Any:  # noqa: ANN401 - whatever the function takes and gives
        """Return what the function returns."""
        leaves = _leaves(args, [])
        shapes = tuple([(leaf.shape, leaf.stride(), leaf.dtype) for leaf in leaves])
        if shapes not in self._made:
            self._made[shapes] = self._make(args)
        graph, spec = self._made[shapes]
        return tree_unflatten(graph(*leaves), spec)

    def _make(self, args: tuple[Any, ...]) -> tuple[_Graph, TreeSpec]:
        graph, inputs, spec = _traced(self._fn, args)
        if not self._is_known and graph.code != _traced(self._fn, args)[0].code:
            raise ImpureError("it computed something else when it was called again")
        return _lowered(graph, inputs), spec


def _traced(fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[GraphModule, list[Tensor], TreeSpec]:
    """Trace a function to a graph of its leaves; also give empty inputs of it and the tree of its outputs."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    leaves, in_spec = tree_flatten(args)
    specs = []

    def flat(*leaves: Tensor) -> list[Tensor]:
        outputs, spec = tree_flatten(fn(*tree_unflatten(leaves, in_spec)))
        specs.append(spec)
        return outputs

    # Each leaf is an input of its own, even if two of them are one tensor in this call.
    with FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv()):
        inputs = [
            torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype, device=leaf.device)
            for leaf in leaves
        ]
    graph = make_fx(flat, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)
    _compute_numbers_apart(graph)
    return graph, inputs, specs[-1]


def _compute_numbers_apart(graph: GraphModule) -> None:
    """Have numbers, such as one for each trial, computed once and not for each use.

    Inductor writes elementwise operators into the loops that use them: a power of a trial's step number is
    then computed for every 16 of its parameters. It ends a loop where a tensor is viewed by its strides.
    """
    as_strided = torch.ops.aten.as_strided.default
    for node in graph.graph.nodes:
        for arg in node.all_input_nodes:
            few, many = arg.meta.get("val"), node.meta.get("val")
            if not isinstance(few, Tensor) or not isinstance(many, Tensor) or not few.is_floating_point():
                continue
            is_few = few.numel() <= min(_MOST_NUMBERS, many.numel() // _MUCH_MORE)
            if arg.op == "call_function" and is_few:
                with graph.graph.inserting_before(node):
                    apart = graph.graph.call_function(as_strided, (arg, few.shape, few.stride()))
                apart.meta["val"] = few
                node.replace_input_with(arg, apart)
    graph.recompile()


def _lowered(graph: GraphModule, inputs: list[Tensor]) -> _Graph:
    """Make code of a graph, or find it among what was made before."""
    from torch._guards import TracingContext, detect_fake_mode, tracing
    from torch._inductor import config  # this and the next take as long to import as torch itself
    from torch._inductor.compile_fx import compile_fx

    in_order = config.patch(deterministic=torch.are_deterministic_algorithms_enabled())
    with in_order, tracing(TracingContext(detect_fake_mode(inputs))):  # without, nothing is looked up or kept
        code: Any = compile_fx(graph, inputs)
    return cast(_Graph, code)


def _leaves(tree: Any, found: list[Tensor]) -> list[Tensor]:  # noqa: ANN401 - any tree of tensors
    """Add the leaves in the order of `tree_leaves`, in a fraction of its time for the trees of a program."""
    if isinstance(tree, Tensor):
        found.append(tree)
    elif isinstance(tree, tuple):
        for branch in tree:
            _leaves(branch, found)
    elif type(tree) is dict:
        for branch in tree.values():
            _leaves(branch, found)
    else:
        found += tree_leaves(tree)
    return found
