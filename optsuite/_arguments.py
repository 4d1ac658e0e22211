"""Options that pytest and the `optsuite` command share, and the types of their values."""

import argparse
import ast
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from optsuite import choices
from optsuite.words import seconds_in


def count(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 is needed (got {text!r})")
    return int(text)


def time(text: str) -> float:
    """Parse a time such as 90s or 1h30m into seconds."""
    try:
        return seconds_in(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def time_or_off(text: str) -> float:
    """Parse a time as `time` does, or `off` into infinity."""
    return math.inf if text == "off" else time(text)


def setting(text: str) -> tuple[str, Any]:
    """Parse NAME=VALUE, with a number, a bool, a tuple of these or a word as its value."""
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals and value):
        raise argparse.ArgumentTypeError(f"NAME=VALUE is needed (got {text!r})")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


class Once(argparse.Action):
    """Action of an option that takes one value: another one beside it is an error, the same is not."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse's protocol
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401 - whatever `type` makes of the text
        option_string: str | None = None,
    ) -> None:
        given = vars(self).setdefault("given", values)
        if option_string and given != values:
            raise argparse.ArgumentError(
                self, f"takes one value, and two were given ({given} and {values}): leave one of them out"
            )
        setattr(namespace, self.dest, values)


class Argument(NamedTuple):
    """Option that takes a value."""

    help: str
    metavar: str | None = None
    choices: tuple[str, ...] | None = None
    default: str | None = None
    """Value where none is given; None where that is decided elsewhere, as `help` says."""
    type: Callable[[str], Any] = str

    @property
    def keywords(self) -> dict[str, Any]:
        """Keywords of `add_argument`, without the default."""
        words = f"{self.help} (default: {self.default})" if self.default else self.help
        return self._asdict() | {"help": words, "default": None}


RUN = {
    "data": Argument(
        "auto: real data where present, else stand-ins; real; synthetic (default: $OPTSUITE_DATA or auto)",
        choices=choices.MODES,
    ),
    "storage": Argument(
        "path or URL of the curves (default: $LOPT_BASELINE_DIR or ~/lopt_baselines)", metavar="URL"
    ),
    "archives": Argument(
        "path or URL of the archives (default: <storage>_archives, $LOPT_BASELINE_ARCHIVES_DIR or "
        "~/lopt_baselines_archives)",
        metavar="URL",
    ),
    "device": Argument("where to train: cpu, cuda or cuda:N (default: cuda if there is one)", "DEVICE"),
    "precision": Argument(
        "of products and convolutions: float32; tf32, on CUDA; bf16, by autocast; results of the "
        "latter two lie under <storage>_<precision>",
        choices=choices.PRECISIONS,
        default="float32",
    ),
    "rerun": Argument(
        "missing: train what is not recorded; failed: also what cannot be read; all: everything",
        choices=choices.RERUNS,
        default="missing",
    ),
    "report": Argument(
        "on: draw the figures and write the page at the end, in <storage>_reports; off: do not",
        choices=("on", "off"),
        default="on",
    ),
    "checkpoint": Argument(
        "save the state of what trains after each such time, so that the next run goes on from there if this "
        "one dies; off: only when it is stopped by Ctrl-C or SIGTERM",
        metavar="TIME",
        type=time_or_off,
        default="10m",
    ),
    "budget": Argument(
        "train the cheapest cells that fit a time such as 45m, 2h or 1h30m, and say what is left out",
        metavar="TIME",
        type=time,
    ),
    "backend": Argument(
        "where cells train: local: here, one after the other; process: in processes beside this one, "
        "each with a GPU or its share of the cores; dask: on the workers of a Dask cluster",
        choices=choices.BACKENDS,
        default="local",
    ),
    "workers": Argument(
        "processes, or workers of the cluster that dask starts (default: one a GPU, else one a core)",
        metavar="N",
        type=count,
    ),
    "dask_address": Argument(
        "scheduler of a Dask cluster, e.g. tcp://host:8786 (default: starts a cluster here)", "ADDRESS"
    ),
}
"""Options of how cells run and where results lie, by the name of the runner's option."""

LOPT_METAVAR = "[NAME=]PATH"
LOPT_HELP = (
    "add a learned optimizer from its checkpoint, a file, a URL, or a name that comes with optsuite, to the "
    "sets LOpt_..., LOptGradAccum10_..., GradAccum_LOpt_... and GraftedShampoo_LOpt_...; may be repeated"
)

GRID_METAVAR = "NAME=OPTIMIZER(HPARAM=VALUES,...)"
GRID_HELP = (
    "add the sets NAME_<steps>_R<repetitions> of a grid, e.g. 'Wide=AdamW+cosine(lr=log(1e-4,1)/15, "
    "weight_decay=0|0.1)', or of 50 settings that are drawn, 'Rand=AdamW(lr=loguniform(1e-4,1))/50'; may be "
    "repeated"
)

META_TRAINING = {
    "estimator": Argument(
        "of gradients: pes: persistent evolution strategies, from a piece of inner trainings at each outer "
        "step; unroll: backpropagation through whole inner trainings",
        choices=choices.META_ESTIMATORS,
        default="pes",
    ),
    "inner_steps": Argument("steps of an inner training (default: 1000; 50 for unroll)", "N", type=count),
    "piece": Argument("inner steps in an outer step (default: 20; all for unroll)", "N", type=count),
    "problems": Argument("inner trainings of each task, side by side", "N", default="16", type=count),
    "std": Argument("deviation of the perturbations of pes (default: 0.01)", "STD", type=float),
    "steps": Argument("outer steps", "N", default="5000", type=count),
    "optimizer": Argument("optimizer of the learned parameters", "NAME", default="Adam"),
    "lr": Argument("its learning rate (default: 0.001)", "LR", type=float),
    "clip": Argument("largest magnitude of an element of a gradient", "LIMIT", default="3", type=float),
    "average": Argument(
        "decay of the average of the learned parameters that is written; 0: the latest parameters",
        "DECAY",
        default="0",
        type=float,
    ),
    "seed": Argument("decides initial parameters, batches and noise", "SEED", default="0", type=int),
    "init": Argument("checkpoint to start from", "CHECKPOINT"),
    "save_every": Argument("time after which the state is saved again", "TIME", default="5m", type=time),
}
"""Options of the training of a learned optimizer, most by the name of the setting."""
