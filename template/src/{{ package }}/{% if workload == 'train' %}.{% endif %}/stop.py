"""A polite end: SIGTERM (from a scheduler) and SIGINT (Ctrl-C) let the run save its work."""

import signal
import sys
from types import FrameType


class Stop:
    """Holds the exit code that a signal asked for; 0 as long as none came.

    Until `save_first` is set there is nothing to save, and a signal ends the program at once. So
    does a second signal.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self.save_first = False

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT from now on."""
        signal.signal(signal.SIGTERM, self._handle)
        signal.signal(signal.SIGINT, self._handle)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        at_once = bool(self.exit_code) or not self.save_first
        self.exit_code = 128 + number  # what a shell reports: 143 for SIGTERM, 130 for SIGINT
        if at_once:
            sys.exit(self.exit_code)
