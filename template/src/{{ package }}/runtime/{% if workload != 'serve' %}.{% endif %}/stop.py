"""The end of a training run by a signal, after its work is saved."""

import signal
import sys
from types import FrameType
from typing import Self

from .signals import SIGNALS, exit_code


class Stop:
    """Turns a signal into a request that the training loop looks for: `with Stop() as stop:`.

    Inside the `with`, the first signal sets `exit_code`: the loop saves its work and returns that
    code. A second signal ends the program at once. Outside, signals are handled as before.
    """

    def __init__(self) -> None:
        self.exit_code = 0

    def __enter__(self) -> Self:
        self._handlers = {number: signal.signal(number, self._request) for number in SIGNALS}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _request(self, number: int, _frame: FrameType | None) -> None:
        if self.exit_code:
            sys.exit(exit_code(number))
        self.exit_code = exit_code(number)
