"""SIGTERM (from `docker stop` or a scheduler) and SIGINT (from Ctrl-C) end the program."""

import signal
import sys
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def exit_code(number: int) -> int:
    """Return what a shell reports of a program that a signal ended: 143 or 130."""
    return 128 + number


def exit_on_signals() -> None:
    """Let both signals end the program at once from now on.

    The first process of a container ignores a signal that it has no handler for.
    """
    for number in SIGNALS:
        signal.signal(number, _exit)


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(exit_code(number))
