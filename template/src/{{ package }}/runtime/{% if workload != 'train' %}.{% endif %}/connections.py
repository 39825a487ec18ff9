"""Connections: how many there are, and how long a client may take."""

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

IS_GONE = "drydock.is_gone"  # the extension of a request that says whether its client has left
MAX_HEADER_BYTES = 65_536


class Connection(HttpToolsProtocol):
    """A connection of uvicorn that waits neither for headers nor for a reader without end.

    Of too many connections, the one is closed that has been without a whole request for longest,
    since the newest may be a probe.

    Args:
        max_connections: how many there may be.
        receive_seconds: how long the headers of a request may take, or a client that does not read
            its answer.
        uvicorns: what uvicorn hands over.
    """

    def __init__(self, max_connections: int, receive_seconds: float, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._max_connections = max_connections
        self._receive_seconds = receive_seconds
        self._deadline: asyncio.TimerHandle | None = None
        self._headers_due = True
        self._header_bytes = 0
        self._idle_since: float | None = time.monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._give_time()
        if len(self.connections) > self._max_connections:
            others = [one for one in self.connections if one is not self and one._idle_since]
            if others:
                longest = min(others, key=lambda one: one._idle_since)
                longest._idle_since = None  # it is gone in a moment, and must not be chosen twice
                longest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_waiting()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come. Headers that are not complete have a limit in bytes and in time."""
        super().data_received(data)
        if self._headers_due:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._refuse(b"431 Request Header Fields Too Large")
            elif self._deadline is None:
                self._give_time()

    def on_message_begin(self) -> None:
        """A request begins: let it know whether its client is there."""
        super().on_message_begin()
        self.scope["extensions"] = {IS_GONE: self.transport.is_closing}

    def on_headers_complete(self) -> None:
        """The application takes over, and gives time for the body."""
        self._headers_due = False
        self._header_bytes = 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole: its answer is waited for."""
        self._idle_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The next request may come."""
        self._idle_since = time.monotonic()
        self._headers_due = True
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not read its answer."""
        super().pause_writing()
        self._stop_waiting()
        self._deadline = self.loop.call_later(self._receive_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        self._stop_waiting()
        super().resume_writing()

    def _give_time(self) -> None:
        self._deadline = self.loop.call_later(
            self._receive_seconds, self._refuse, b"408 Request Timeout"
        )

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
            self.transport.close()
