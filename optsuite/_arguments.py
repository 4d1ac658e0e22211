"""Options that pytest and the `optsuite` command share, and the types of their values."""

import argparse
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
