"""--opt-device."""

from __future__ import annotations

import pytest

from .conftest import read_curves, text


def test_curves_say_where_they_were_trained(bench):
    bench.run("--opt-device=cpu", "-k", "lr0.1").assert_outcomes(passed=1)
    assert {str(c["accelerator_platform"]) for c in read_curves(bench.path).values()} == {"cpu"}


@pytest.mark.parametrize("device", ["toaster", "cuda:999"])
def test_a_device_that_is_not_there_ends_the_session(bench, device):
    result = bench.run(f"--opt-device={device}")
    assert f"optsuite: cannot train on device `{device}`" in text(result)
    assert "pass cpu, cuda or cuda:N" in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert bench.results() == []
