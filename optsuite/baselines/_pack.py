"""Making packaged baselines of archives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import numpy as np

from optsuite import data, storage
from optsuite._types import Array
from optsuite.archives import Archive, read_archive
from optsuite.baselines import _files
from optsuite.baselines._files import Index, Made
from optsuite.baselines._rounded import encode
from optsuite.errors import OptsuiteError
from optsuite.hparam_sets import get_hparam_set, ids_of
from optsuite.statistics import Evaluations, evaluations
from optsuite.tasks import get_task


def pack(cells: Iterable[tuple[str, str]], archives: str, folder: str, *, commit: str, device: str) -> Made:
    """Write baselines of archives, beside those that a folder has; equal archives make equal files.

    Args:
        cells: (task, set) of each.
        archives: Root of the archives.
        folder: Folder to write to.
        commit: Commit of optsuite that trained them.
        device: Machine that did, in words.

    Returns:
        How the last of them was made.

    Raises:
        StorageError: An archive is missing or damaged, or a file cannot be written.
        OptsuiteError: An archive is not of real data, or has trials that this version of optsuite would not
            train.
    """
    index = _files.read_index(folder)
    digests, made = dict(index.digests), index.made
    for task, hparam_set in cells:
        archive = read_archive(task, hparam_set, archives)
        _check_trials(archive)
        found = Made(
            commit, device, _only(archive, "optsuite_version"), _only(archive, "torch_version"), _day(archive)
        )
        made = max(made or found, found, key=lambda one: one.date)
        url = _files.path_of(folder, task, hparam_set)
        storage.write_npz(url, _arrays(archive, evaluations(archive), found))
        digests[task, hparam_set] = _files.digest(storage.read_bytes(url))
    if made is None:
        raise OptsuiteError("there is nothing to pack: no cells were given")
    _files.write_index(folder, Index(digests, made))
    return made


def _arrays(archive: Archive, evals: Evaluations, made: Made) -> dict[str, Array]:
    facts = {
        "configs": [(config.label, dict(config.hparams)) for config in evals.configs],
        "schedule": vars(evals.schedule),
        "splits": list(evals.losses),
        "flops_per_step": evals.flops_per_step,
        "made": made._asdict(),
        "data": data.fingerprint(get_task(evals.task).dataset.dataset, "real"),
        "trial_ids": archive.arrays["trial_id"].tolist(),
    }
    seconds_HS = evals.seconds_per_step
    arrays: dict[str, Array] = {
        "facts": np.array(json.dumps(facts)),
        "xs": evals.xs,
        "seeds": evals.seeds,
        "seconds_per_step": np.full(evals.diverged.shape, np.nan) if seconds_HS is None else seconds_HS,
    }
    for split, loss_HSE in evals.losses.items():
        arrays[f"loss/{split}"] = encode(loss_HSE, split)
        arrays[f"last/{split}/loss"] = loss_HSE[..., -1].astype(np.float32)
    for split, accuracy_HSE in evals.accuracies.items():
        arrays[f"last/{split}/accuracy"] = accuracy_HSE[..., -1].astype(np.float32)
    return arrays


def _check_trials(archive: Archive) -> None:
    """Raise OptsuiteError unless all trials are what this version would train on the data that are here."""
    name = f"`{archive.hparam_set}` of `{archive.task}`"
    if archive.data_source != "real" or archive.schedule is None:
        raise OptsuiteError(f"cannot pack {name}: needed results on real data, with a schedule")
    needed = ids_of(get_hparam_set(archive.hparam_set).trials(archive.task), "real")
    ids_HS = archive.values("trial_id", "U")
    if needed is None or ids_HS is None or needed != set(ids_HS.flat):
        raise OptsuiteError(
            f"cannot pack {name}: its trials are not those of this version of optsuite on the data that are "
            "here; train them again"
        )


def _only(archive: Archive, key: str) -> str:
    values = archive.values(key, "U")
    return ", ".join(sorted(set(() if values is None else values.flat)))


def _day(archive: Archive) -> str:
    """Return the latest day in the names of the files of the curves."""
    names = archive.values("curve_file", "U")
    days = [
        d for name in (() if names is None else names.flat) if (d := re.match(r"(\d{4})(\d\d)(\d\d)_", name))
    ]
    return max(("-".join(day.groups()) for day in days), default="")
