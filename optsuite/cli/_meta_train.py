"""The command `meta-train`: trains a learned optimizer, and shows how far it is."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from optsuite.errors import HParamError
from optsuite.meta import Progress, Settings, meta_train
from optsuite.words import counted, duration

_TELL_SECONDS = 15.0


def train(args: argparse.Namespace) -> int:
    """Train a learned optimizer and write its checkpoint."""
    rate = [] if args.lr is None else [("lr", args.lr)]
    parsed = vars(args) | {
        "tasks": tuple(args.tasks),
        "architecture": _by_name(args.architecture, "--architecture"),
        "hparams": _by_name([*rate, *args.hparam], "--hparam or --lr"),
    }
    settings = Settings(**{field.name: parsed[field.name] for field in fields(Settings)})
    output = args.output or f"{args.kind}.safetensors"
    display = _Display()
    # A scheduler ends a process by it; then the state is saved, as after Ctrl-C.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        meta_train(
            settings,
            output,
            mode=args.data,
            device=args.device,
            save_every_s=args.save_every,
            restart=args.restart,
            tell=display.show,
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    print(output)
    return 0


def _by_name(pairs: Sequence[tuple[str, Any]], options: str) -> dict[str, Any]:
    by_name: dict[str, Any] = {}
    for name, value in pairs:
        if name in by_name:
            raise HParamError(
                f"`{name}` is given twice by {options}: needed one value, got {by_name[name]} and {value}"
            )
        by_name[name] = value
    return by_name


class _Display:
    """Says how far the training is, now and then."""

    def __init__(self) -> None:
        self._told: float | None = None

    def show(self, progress: Progress) -> None:
        """Show progress, if it is time to."""
        step, num_steps, loss, seconds_per_step, source, device = progress
        if self._told is None:
            begun = f"going on from step {step:,} of" if step else "training"
            self._say(f"{begun} {counted(num_steps, 'outer step')}, on {source} data, on {device}")
        elif time.monotonic() - self._told >= _TELL_SECONDS or step == num_steps:
            left = duration(seconds_per_step * (num_steps - step))
            end = f"; about {left} left" if step < num_steps else ""
            self._say(
                f"step {step:,} of {num_steps:,}: meta-loss {loss:.4f}, {seconds_per_step:.2g} s a step{end}"
            )

    def _say(self, line: str) -> None:
        self._told = time.monotonic()
        print(line, file=sys.stderr, flush=True)
