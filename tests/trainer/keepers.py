"""Keepers of states, and processes that die or are told to stop while they train."""

from __future__ import annotations

import io

import numpy as np

from optsuite import trainer
from optsuite.curves import Curve
from optsuite.errors import StoppedError


class Killed(BaseException):
    """The end of a process, as far as it can be had without one."""


class Memory:
    """A keeper in memory, which writes what is saved as a file, and reads it.

    Args:
        rng: Decides when what runs is interrupted, and whether a save is in time; None lets it run.
        ends: What an interruption is: told to stop, or killed.
        most: Steps after which it is interrupted, at most.
    """

    every_s = 0.0

    def __init__(self, rng=None, ends="stopped", most=40):
        self.most = most
        self.rng, self.ends, self.file, self.curves = rng, ends, None, {}
        self.reasons, self.saves, self.loads = [], 0, 0
        self.start()

    def start(self):
        self.asks = np.inf if self.rng is None else int(self.rng.integers(1, self.most))

    def load(self):
        if self.file is None:
            return None
        self.loads += 1
        with np.load(io.BytesIO(self.file), allow_pickle=False) as read:
            return dict(read)

    def save(self, arrays):
        if self.ends == "killed" and self.rng is not None and self.rng.random() < 0.5:
            return
        file = io.BytesIO()
        np.savez(file, **arrays)
        self.file = file.getvalue()
        self.saves += 1

    def set_aside(self, reason):
        self.reasons.append(reason)
        self.file = None

    def recorded(self):
        return self.curves.keys()

    def should_stop(self):
        self.asks -= 1
        if self.asks >= 0:
            return False
        if self.ends == "killed":
            raise Killed
        return True


WHERE = {"mode": "synthetic", "device": "cpu"}


def groups_of(task, trials):
    return trainer.make_groups(task, trials, **WHERE)


def whole(task, groups):
    """Outcomes of groups that nothing interrupts, by trial."""
    outcomes = trainer.run(task, [(group, trainer.Unkept()) for group in groups], **WHERE)
    return {outcome.trial: outcome.result for outcome in outcomes}


def in_pieces(task, groups, rng, ends="killed"):
    """Outcomes of groups that are interrupted again and again, by trial; and the keepers."""
    outcomes, keepers = {}, []
    for group in groups:
        keepers.append(keeper := Memory(rng, ends, 2 * group.spec.schedule.num_steps // 3))
        is_over = False
        while not is_over:
            keeper.start()
            try:
                for outcome in trainer.run(task, [(group, keeper)], **WHERE):
                    outcomes[outcome.trial] = outcome.result
                    if isinstance(outcome.result, Curve):
                        keeper.curves[outcome.trial] = outcome.result
                is_over = True
            except (Killed, StoppedError):
                pass
    return outcomes, keepers
