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
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from optsuite.errors import UnsupportedError, in_words
from optsuite.tasks import Task, is_own

# Compilation takes a tenth of a second an operator, and saves a call of it some 60 us (one of a single trial
# 30 us), evaluations included.
_MIN_CALLS = 2000
_MIN_SINGLE_CALLS = 3000
# Graphs of few operators are compiled in seconds, and kept for all cells of a task of this package: that pays
# for short runs.
_FEW_OPS, _MIN_CALLS_OF_FEW = 100, 200

# Numbers, at most so many, that so many times more are computed from, are computed apart.
_MOST_NUMBERS, _MUCH_MORE = 4096, 8

_Graph: TypeAlias = Callable[..., Sequence[Tensor]]


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
    # Trainings within a loss: ten steps of the smallest network compile for eight minutes.
    if task.batch_dims:
        return False
    if is_single:
        return num_calls >= _MIN_SINGLE_CALLS
    is_shared = 0 <= task.num_ops <= _FEW_OPS and not is_own(task)
    return num_calls >= (_MIN_CALLS_OF_FEW if is_shared else _MIN_CALLS)


def updates_are_long(num_calls: int) -> bool:
    """Tell whether so many updates, which each optimizer has its own of, buy their compilation back."""
    return num_calls >= _MIN_CALLS


@functools.cache
def can_compile(device_type: str) -> bool:
    """Tell whether a small program compiles and runs here, which is tried once per process."""
    try:
        Compiled(lambda x: torch.sin(x) + 1, "a sine", is_known=True)(torch.zeros(8, device=device_type))
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
    """A function of trees of tensors, compiled as one graph for each form of its arguments.

    It may write into its arguments. What it closes over is part of the graph: numbers, and tensors that are
    not changed later.

    Args:
        fn: The function.
        name: Name for errors, such as "the update of `Lion`".
        is_known: Whether it is known to be pure; else it is called once and traced twice, which shows most
            others.

    Raises:
        UnsupportedError: Raised by a first call, if the function is seen to compute something else each time.
    """

    def __init__(self, fn: Callable[..., Any], name: str, *, is_known: bool) -> None:
        self._fn, self._name, self._is_known = fn, name, is_known
        self._made: dict[Any, tuple[_Graph, TreeSpec]] = {}

    def __call__(self, *args: Any) -> Any:  # noqa: ANN401 - whatever the function takes and gives
        """Return what the function returns."""
        leaves: list[Tensor] = []
        form: list[Any] = []
        _flatten(args, leaves, form)
        form += [(leaf.shape, leaf.stride(), leaf.dtype) for leaf in leaves]
        key = tuple(form)
        if key not in self._made:
            self._made[key] = self._make(args)
        graph, spec = self._made[key]
        return tree_unflatten(graph(*leaves), spec)

    def _make(self, args: tuple[Any, ...]) -> tuple[_Graph, TreeSpec]:
        if not self._is_known:
            self._fn(*args)  # fills what is made when it is first needed
        graph, inputs, spec = _traced(self._fn, args)
        if not self._is_known and not _are_same(graph, _traced(self._fn, args)[0]):
            raise UnsupportedError(
                f"{self._name} computes something else when it is called again: keep all that changes in its "
                "state, and draw numbers by the key"
            )
        return _lowered(graph, inputs), spec


def _are_same(graph: GraphModule, again: GraphModule) -> bool:
    """Tell whether two graphs are equal, with the tensors that they hold."""
    from torch._subclasses.fake_tensor import FakeTensor

    held, also = (
        [getattr(one, str(node.target)) for node in one.graph.find_nodes(op="get_attr")]
        for one in (graph, again)
    )
    are_real = not any(isinstance(tensor, FakeTensor) for tensor in (*held, *also))  # else left by a trace
    return are_real and graph.code == again.code and all(map(torch.equal, held, also))


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
            # Of a view of something larger, Inductor would read another part.
            is_whole = few.is_contiguous() and few.untyped_storage().nbytes() == few.numel() * few.itemsize
            if arg.op == "call_function" and is_few and is_whole:
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


def _flatten(tree: Any, leaves: list[Tensor], form: list[Any]) -> None:  # noqa: ANN401 - any tree of tensors
    """Add the leaves in the order of `tree_flatten`, and what the tree is like, in a fraction of its time."""
    if isinstance(tree, Tensor):
        leaves.append(tree)
    elif type(tree) is tuple or (isinstance(tree, tuple) and hasattr(tree, "_fields")):
        form.append((type(tree), len(tree)))
        for branch in tree:
            _flatten(branch, leaves, form)
    elif type(tree) is dict:
        form.append(tuple(tree))
        for branch in tree.values():
            _flatten(branch, leaves, form)
    else:
        some, spec = tree_flatten(tree)
        leaves += some
        form.append(str(spec))
