"""Suites: named, versioned lists of tasks, sets, horizon and seeds, so that verdicts compare."""

from optsuite.suites._suite import Suite

__all__ = ["Suite"]
