"""Every rule of the table of laws, those that take seconds marked as slow."""

from __future__ import annotations

import pytest
from optimizers.cases import CASES


def _is_slow(case):
    return "Shampoo" in case.name and case.hparams != {"graft_type": "SGD"}


RULES = [pytest.param(case, id=str(case), marks=[pytest.mark.slow] * _is_slow(case)) for case in CASES]
