"""The HTML report: one page that needs no network, and its figures as files beside it."""

from optsuite.report._contents import SessionFacts
from optsuite.report._page import Written, write_report
