"""`python -m optsuite.cli`."""

import sys

from optsuite.cli import main

sys.exit(main())
