"""``python -m patchserver``: the same as the ``patchserver`` command."""

import sys

from patchserver.cli import main

sys.exit(main())
