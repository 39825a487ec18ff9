"""The time in which a process waits for the others, in code that is not Python's."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .signals import SIGNALS, exit_code


@contextmanager
def waiting() -> Iterator[None]:
    """Let a signal end the program at once.

    Python calls a handler when the other code has come back, which may be in half an hour:
    https://docs.python.org/3/library/signal.html#execution-of-python-signal-handlers
    """
    reader, writer = socket.socketpair()

    def watch() -> None:
        with reader:
            while number := reader.recv(1):
                if number[0] in SIGNALS:
                    os._exit(exit_code(number[0]))

    writer.setblocking(False)  # as set_wakeup_fd demands
    before = signal.set_wakeup_fd(writer.fileno())
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()
