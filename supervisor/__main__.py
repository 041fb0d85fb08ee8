"""``python -m supervisor``: the command line."""

from __future__ import annotations

import sys

from supervisor._console.cli import main

if __name__ == "__main__":
    sys.exit(main())
