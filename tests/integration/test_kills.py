"""Runners that are killed at any moment, two at a time: each curve is there once, as if nobody had died."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from optsuite import curves, storage

pytestmark = pytest.mark.slow

TASK, SET, NUM_TRIALS, NUM_STEPS = "ImageMLP_FashionMnist8_Relu32", "SGDLR_1500_R2", 30, 1500
SAVE_SECONDS = 0.4
NUM_ROUNDS = 14
"""Number of times that both runners are killed."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["torch", "optsuite.cli", "optsuite.cli._sweep", "torch.func", "s3fs"])


def _run(root: str, log: str, environment: dict[str, str]) -> None:
    """Run the command in this process, and log what is trained as it is."""
    os.environ.update(environment)
    import torch

    from optsuite.cli import main
    from optsuite.trainer import GridRun

    torch.set_num_threads(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    advance = GridRun.advance

    def logged(self, state, stop=None):
        after = advance(self, state, stop)
        with Path(log).open("a") as file:
            file.write(f"{time.monotonic()} {after.trial_steps - state.trial_steps}\n")
        return after

    GridRun.advance = logged
    args = ["--storage", root, "--data", "synthetic", "--report", "off", "--device", "cpu"]
    raise SystemExit(main(["run", TASK, SET, *args, "--checkpoint", f"{SAVE_SECONDS}s"]))


class Runners:
    """Starts runners on one store, and knows what each has trained."""

    def __init__(self, root: str, folder: Path, environment: dict[str, str]) -> None:
        self.root, self.folder, self.environment = root, folder, environment
        self.logs: list[Path] = []

    def start(self):
        log = self.folder / f"{len(self.logs)}.log"
        self.logs.append(log)
        process = _CONTEXT.Process(target=_run, args=(self.root, str(log), self.environment))
        process.start()
        return process

    def trained(self) -> list[list[tuple[float, int]]]:
        """Return (time, trial-steps) of each block that each runner trained."""
        lines = [log.read_text().splitlines() if log.exists() else [] for log in self.logs]
        return [[(float(a), int(b)) for a, b in map(str.split, some)] for some in lines]


def losses(root: str) -> dict[str, bytes]:
    """Return the bits of each trial's losses, by id; exactly one file a trial."""
    found = {}
    for folder in sorted({"/".join(f) for f in curves.find_folders("*", "*", root)}):
        for curve in curves.load_baseline_results_from_dir(storage.join_url(root, folder)):
            assert str(curve["trial_id"]) not in found, "a trial has two curves"
            found[str(curve["trial_id"])] = b"".join(
                np.ascontiguousarray(curve[key]).tobytes()
                for key in sorted(curve)
                if key.endswith(("loss", "xs"))
            )
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    process = Runners(f"{folder}/store", folder, {}).start()
    process.join()
    assert process.exitcode == 0
    return losses(f"{folder}/store_synthetic")


@pytest.fixture(scope="module")
def server():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(params=["local", "s3"])
def runners(request, tmp_path, monkeypatch):
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    if request.param == "local":
        return Runners(str(tmp_path / "store"), tmp_path, environment)
    environment |= {
        "AWS_ENDPOINT_URL": request.getfixturevalue("server"),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("kills")
    return Runners("s3://kills/store", tmp_path, environment)


def everything(root: str) -> list[str]:
    filesystem, path = fsspec.url_to_fs(root)
    filesystem.invalidate_cache()
    return sorted(filesystem.find(path))


def test_every_curve_is_there_once_and_as_if_nobody_had_died(runners, uninterrupted):
    seconds, num_killed = random.Random(18), 0
    for _ in range(NUM_ROUNDS):
        both = [runners.start(), runners.start()]
        for process in both:
            process.join(seconds.uniform(0.2, 2.0))
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
                process.join()
                num_killed += 1
    last = [runners.start(), runners.start()]
    for process in last:
        process.join(120)
        assert process.exitcode == 0
    root = f"{runners.root}_synthetic"
    assert losses(root) == uninterrupted
    left = [name for name in everything(root) if not name.endswith(".curves")]
    assert left == [], "temporary files, claims or checkpoints were left"
    trained = runners.trained()
    needed = NUM_TRIALS * (NUM_STEPS + 1)
    # A kill costs what was trained since the last save: one interval, the save itself and a block of steps.
    lost = [sum(count for at, count in log if at > log[-1][0] - SAVE_SECONDS - 1.0) for log in trained if log]
    total = sum(count for log in trained for _, count in log)
    assert total <= needed + sum(lost)
    assert num_killed >= NUM_ROUNDS, "too few died to show anything"
