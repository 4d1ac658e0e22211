"""`python -m optsuite`."""

import sys

from optsuite.cli import main

sys.exit(main())
