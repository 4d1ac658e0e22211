"""Rounds in which two installations train the same cells in turn, so that their speeds compare."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from optsuite import storage
from optsuite.errors import OptsuiteError, RemoteError
from optsuite.storage import Store

_FILE = "rounds.json"


class Rounds(NamedTuple):
    """Roots of archives that one installation made, round by round."""

    roots: Sequence[str]
    job: str
    """Name of the job in which two installations took turns; empty for the archives of an ordinary run."""


def rounds_of(url: str) -> Rounds:
    """Return the rounds in a folder of `train_in_turn`; for any other root of archives, that root alone."""
    root = storage.clean_root(url)
    file = storage.join_url(root, _FILE)
    if not storage.exists(file):
        return Rounds([root], "")
    told = storage.read_json(file)
    names = told.get("archives") if isinstance(told, dict) else None
    if not (isinstance(names, list) and names and told.get("job")):
        raise storage.CorruptFileError(f"`{file}` does not say which rounds there are")
    return Rounds([storage.join_url(root, str(name)) for name in names], str(told["job"]))


def train_in_turn(
    base: str,
    head: str,
    a: str,
    b: str,
    task: str,
    sets: Sequence[str],
    *,
    num_rounds: int,
    source: str = "real",
    tell: Callable[[str], None] = lambda _line: None,
) -> None:
    """Train cells by two installations of optsuite in turn, round by round, on this machine.

    Which of the two is first alternates from round to round, so that neither always has the warmer machine.

    Args:
        base: Python interpreter with the optsuite before, or a folder with its source.
        head: Interpreter or folder of the optsuite after.
        a: Folder for what `base` records; made anew.
        b: Folder for what `head` records.
        task: Name or glob of the tasks.
        sets: Names or globs of hparam sets.
        num_rounds: Number of rounds, at least 2.
        source: Kind of data, `real` or `synthetic`.
        tell: Called with a line at the beginning of each round.

    Raises:
        OptsuiteError: There are too few rounds, a folder is not new or not on this machine, or there is no
            such interpreter or source.
        RemoteError: An installation failed to train.
    """
    if num_rounds < 2:
        raise OptsuiteError(
            f"at least 2 rounds are needed to tell a change of speed from noise (got {num_rounds})"
        )
    if Path(a).absolute() == Path(b).absolute():
        raise OptsuiteError(f"rounds need a folder for each side (got `{a}` for both)")
    for url in (a, b):
        if "://" in url:
            raise OptsuiteError(f"rounds need a folder on this machine (got `{url}`): copy it afterwards")
        folder = Path(url)
        if folder.exists() and any(folder.iterdir()):
            raise OptsuiteError(f"rounds need a new folder, and `{folder}` is not empty: name another one")
    sides = [(*_installation(base), Path(a).absolute()), (*_installation(head), Path(b).absolute())]
    rounds = [f"{number + 1:02}" for number in range(num_rounds)]
    for number, name in enumerate(rounds):
        tell(f"round {number + 1} of {num_rounds}")
        for command, environment, folder in sides[:: -1 if number % 2 else 1]:
            for hparam_set in sets:
                _train([*command, "run", task, hparam_set, "--data", source], environment, folder / name)
    job = uuid.uuid4().hex
    for _, _, folder in sides:
        stores = [Store.at(None, f"{name}/archives", source).archives for name in rounds]
        storage.write_json(str(folder / _FILE), {"job": job, "archives": stores})


def _installation(given: str) -> tuple[list[str], dict[str, str]]:
    """Return the words that begin a command of an installation, and the environment that it needs."""
    if (Path(given) / "optsuite" / "__init__.py").is_file():
        path = os.pathsep.join(filter(None, (str(Path(given).absolute()), os.environ.get("PYTHONPATH"))))
        python, more = sys.executable, {"PYTHONPATH": path}
    else:
        found = shutil.which(given)
        if found is None:
            raise OptsuiteError(
                f"`{given}` is neither a Python interpreter nor a folder with optsuite's source"
            )
        python, more = found, {}
    # -P keeps the folder in which this runs, perhaps one of the two sources, from being imported.
    return [python, "-P", "-m", "optsuite"], more


def _train(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
    where = ["--storage", str(folder / "curves"), "--archives", str(folder / "archives"), "--report", "off"]
    try:
        done = subprocess.run(
            [*command, *where], env=os.environ | environment, capture_output=True, text=True, check=False
        )
    except OSError as cause:
        raise RemoteError(f"`{command[0]}` cannot be run: {cause.strerror}") from cause
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise RemoteError(
            f"`{shlex.join(command)}` failed with exit status {done.returncode}: {''.join(last)}"
        )
