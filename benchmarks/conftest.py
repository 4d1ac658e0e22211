"""Settings of the benchmarks: measurements of speed run when their file is named."""

from __future__ import annotations

import pytest

# `pytest benchmarks` is the matrix; `pytest benchmarks/test_step_time.py` measures.
collect_ignore = [
    "test_backend_speed.py",
    "test_learned_speed.py",
    "test_limits.py",
    "test_optimizer_cost.py",
    "test_plan_accuracy.py",
    "test_sharing_speed.py",
    "test_step_time.py",
    "test_table_speed.py",
    "test_trainer_speed.py",
]

_LINES = pytest.StashKey[list[str]]()


@pytest.fixture
def required_hparams(tmp_path):
    """Gives values for the hyperparameters of an optimizer that have no default."""
    from optsuite.optimizers import LEARNED_OPTIMIZERS, OPTIMIZERS, write_checkpoint

    values = {"lr": 1e-3, "idx": 0, "num_average": 4}

    def of(name):
        hparams = OPTIMIZERS[name].hparams
        if "theta" not in hparams:
            return {key: values[key] for key, hparam in hparams.items() if hparam.is_required}
        kind = name.removesuffix("GradAccum").removesuffix("GraftedShampoo")
        url = str(tmp_path / f"{kind}.safetensors")
        write_checkpoint(url, kind, LEARNED_OPTIMIZERS[kind]().init())
        return {"theta": url}

    return of


@pytest.fixture
def report_line(request):
    """Print a line, with `-s` at once and always in the summary at the end of the session."""
    lines = request.config.stash.setdefault(_LINES, [])

    def report(line):
        print(line, flush=True)
        lines.append(line)

    return report


def pytest_terminal_summary(terminalreporter, config):
    """Print the lines that benchmarks reported."""
    if lines := config.stash.get(_LINES, []):
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
