"""Read again what the catalogue says, write what changed, and say so: docs/refresh.md.

uv run --only-group refresh python scripts/refresh.py --dry-run
"""

import sys

from refresh.command import main  # the package beside this file

if __name__ == "__main__":
    sys.exit(main())
