"""The nightly workflow: its shell runs, and its gate, history and acceptance work together."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

WORKFLOW = Path(__file__).parents[1] / ".github" / "workflows" / "nightly.yml"

# Stand-ins for the tools that need hours: they write what those would, or say what they were asked.
TOX = """#!/bin/sh
echo "$@" >> asked
case "$*" in *bench*)
  mkdir -p results/archives/Task results/archives_synthetic/Task
  echo "$LOSS" > results/archives/Task/Set.npz
  case "$*" in *--opt-compare-fail*) [ "$LOSS" = "$(cat last/archives/Task/Set.npz)" ] || exit 1 ;; esac ;;
esac
"""
OPTSUITE = """#!/bin/sh
echo "$@" >> asked
case "$1" in history) for file; do :; done; echo night >> "$file"; touch "${file%.csv}.png" ;; esac
"""


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load(WORKFLOW.read_text())


@pytest.fixture
def night(workflow, tmp_path):
    """Run the steps of a night that have a name, as GitHub does; return the names of those that failed."""
    for name, text in ((".venv/bin/tox", TOX), (".tox/tests/bin/optsuite", OPTSUITE)):
        path = tmp_path / "here" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
        path.chmod(0o755)
    for words in ("init -q", "-c user.name=a -c user.email=b commit -q --allow-empty -m one"):
        subprocess.run(["git", *words.split()], cwd=tmp_path / "here", check=True)

    def run(loss, *, accept=False):
        failed = []
        for step in workflow["jobs"]["sweep"]["steps"]:
            is_meant = {"${{ !inputs.accept }}": not accept, "${{ inputs.accept }}": accept}
            is_asked = is_meant.get(step.get("if"), not failed or "cancelled" in step.get("if", ""))
            if "name" not in step or not is_asked:
                continue
            env = {**os.environ, "ARGS": "benchmarks", "LOSS": loss, "ACCEPT": "yes" * accept}
            done = subprocess.run(
                ["bash", "-eo", "pipefail", "-c", step["run"]], cwd=tmp_path / "here", env=env
            )
            failed += [step["name"]] if done.returncode else []
        subprocess.run(["rm", "-rf", "results", "../base", "speed"], cwd=tmp_path / "here", check=True)
        subprocess.run(["git", "worktree", "prune"], cwd=tmp_path / "here", check=True)
        return failed

    return run


def nights(tmp_path):
    return len((tmp_path / "here" / "last" / "history.csv").read_text().split())


def test_it_is_kept_from_night_to_night(workflow):
    steps = workflow["jobs"]["sweep"]["steps"]
    restored, saved = (
        next(step for step in steps if step.get("uses", "").startswith(f"actions/cache/{word}"))
        for word in ("restore", "save")
    )
    assert restored["with"]["path"] == saved["with"]["path"] == "last"
    assert restored["with"]["key"] == saved["with"]["key"]
    assert saved["with"]["key"].startswith(restored["with"]["restore-keys"])


def test_the_first_night_has_nothing_to_compare_with(night, tmp_path):
    assert night("0.5") == []
    assert "--opt-compare" not in (tmp_path / "here" / "asked").read_text()
    assert nights(tmp_path) == 1


def test_a_change_fails_each_night_until_it_is_accepted(night, tmp_path):
    assert night("0.5") == night("0.5") == []
    assert night("0.7") == night("0.7") == ["Sweep"]
    assert night("0.7", accept=True) == []
    assert night("0.7") == []
    assert nights(tmp_path) == 6


def test_speed_is_compared_with_the_commit_that_passed(night, tmp_path):
    night("0.5")
    night("0.5")
    asked = (tmp_path / "here" / "asked").read_text()
    assert "--train ../base . --rounds 20" in asked
