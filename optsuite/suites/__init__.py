"""Suites: named, versioned lists of tasks, sets, horizon and seeds, so that verdicts compare."""

from optsuite.suites._registry import get_suite, list_suites, register_suite
from optsuite.suites._suite import Suite
