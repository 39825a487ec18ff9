"""The end of a training run by a signal, after its work is saved."""

import signal
import sys
import time
from types import FrameType
from typing import Self

from .signals import SIGNALS, exit_code

# SIGUSR1 is what Slurm is asked to send some time before the end: `sbatch --signal=USR1@120`.
REQUESTS = (*SIGNALS, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []))
ECHO_SECONDS = 2


class Stop:
    """Turns a signal into a request that the training loop looks for: `with Stop() as stop:`.

    Inside the `with`, the first signal sets `exit_code`: the loop saves its work and returns that
    code. A second signal ends the program at once; the same one within two seconds does not, since
    a launcher that gets a signal like all of its processes passes it on to them. Outside, signals
    are handled as before.
    """

    def __init__(self) -> None:
        self.exit_code = 0

    def __enter__(self) -> Self:
        self._handlers = {number: signal.signal(number, self._request) for number in REQUESTS}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _request(self, number: int, _frame: FrameType | None) -> None:
        code, now = exit_code(number), time.monotonic()
        if not self.exit_code:
            self.exit_code, self._first = code, now
        elif code != self.exit_code or now - self._first > ECHO_SECONDS:
            sys.exit(code)
