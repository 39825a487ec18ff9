"""Run the refresh: `uv run --only-group refresh python -m scripts.refresh --dry-run`."""

import sys

from scripts.refresh.command import main

sys.exit(main())
