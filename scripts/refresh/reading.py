"""How a source is asked: time limit, retries, and the sentence when it does not answer.

Every reader goes through `Source.ask`. Whoever answers 429, 5xx, nonsense or nothing is asked
again, after the pause it asks for (Retry-After) or a growing one. A source that has failed is not
asked again in the same run: it gets one sentence, and the others are still read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import requests
from dxf.exceptions import DXFAuthInsecureError, DXFError, DXFUnauthorizedError
from pypi_simple import NoSuchProjectError, UnsupportedRepoVersionError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

Answer = TypeVar("Answer")

AGENT = "drydock-refresh"
# What a parser raises over an answer that is not what it should be.
NONSENSE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    DXFError,
    UnsupportedRepoVersionError,
)


class UnreadableError(Exception):
    """A source could not be read; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Patience:
    """How long a source is waited for.

    Attributes:
        attempts: how often one question is asked.
        pause: seconds before the second attempt; doubled for each further one.
        longest: seconds of a pause that a source may ask for; after that it is given up.
        timeout: seconds until a connection or an answer has to begin.
    """

    attempts: int = 4
    pause: float = 2.0
    longest: float = 120.0
    timeout: float = 30.0


@dataclass
class Source:
    """Something that is read over HTTP.

    Attributes:
        what: its name in sentences, with its address.
        option: the option of the command that names another address.
        patience: how long it is waited for.
    """

    what: str
    option: str
    patience: Patience
    _given_up: UnreadableError | None = field(default=None, repr=False)

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Call a function that reads, again if need be, and return what it returns.

        Raises:
            UnreadableError: it did not work out; every later question fails the same way.
            requests.HTTPError, NoSuchProjectError: a 404, which is an answer.
        """
        if self._given_up:
            raise self._given_up
        retrying = Retrying(
            stop=stop_after_attempt(self.patience.attempts),
            wait=self._pause,
            retry=retry_if_exception(self._is_worth_another),
            reraise=True,
        )
        try:
            return retrying(question)
        except (requests.RequestException, NoSuchProjectError, *NONSENSE) as error:
            if is_missing(error):
                raise
            raise self.given_up(error) from error

    def given_up(self, error: Exception) -> UnreadableError:
        """Ask no more because of an error, and return what to raise."""
        self._given_up = UnreadableError(self._sentence(error))
        return self._given_up

    def _is_worth_another(self, error: BaseException) -> bool:
        if isinstance(error, (DXFUnauthorizedError, DXFAuthInsecureError, NoSuchProjectError)):
            return False
        status = _status(error)
        if status is None:
            return isinstance(error, (requests.RequestException, *NONSENSE))
        asked = asked_pause(error)
        return (status == 429 or status >= 500) and (asked or 0) <= self.patience.longest

    def _pause(self, state: RetryCallState) -> float:
        asked = asked_pause(state.outcome.exception())
        return asked if asked is not None else self.patience.pause * 2 ** (state.attempt_number - 1)

    def _sentence(self, error: Exception) -> str:
        status = _status(error)
        if isinstance(error, DXFUnauthorizedError) or status in (401, 403):
            why = f"it refuses to be read by anyone ({status or 401})"
        elif isinstance(error, DXFAuthInsecureError):
            why = "it asks for a token over plain HTTP; name an https:// address"
        elif status == 429:
            asked = asked_pause(error)
            wait = f", and asks to wait {asked:.0f} s" if asked else ""
            why = f"too many requests (429){wait}; run again later"
        elif status is not None:
            why = f"it answers {status}"
        elif isinstance(error, requests.Timeout):
            why = f"no answer within {self.patience.timeout:g} s"
        elif isinstance(error, requests.ConnectionError):
            why = "no connection, or one that ended without an answer"
        else:
            why = f"its answer makes no sense ({type(error).__name__}: {_first_line(error)})"
        return (
            f"{self.what} could not be read: {why}. What it says was left as it is; run the "
            f"refresh again, or name another address with {self.option}."
        )


def session() -> requests.Session:
    """Return a session that says who is asking."""
    asking = requests.Session()
    asking.headers["User-Agent"] = AGENT
    return asking


def is_missing(error: BaseException) -> bool:
    """Whether an error is the answer "there is no such thing"."""
    return _status(error) == 404 or isinstance(error, NoSuchProjectError)


def asked_pause(error: BaseException | None) -> float | None:
    """Return the seconds that an answer asks to wait (RFC 9110, 10.2.3), None if it does not."""
    response = getattr(error, "response", None)
    text = response.headers.get("Retry-After") if response is not None else None
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(seconds, 0.0)


def _status(error: Any) -> int | None:
    response = getattr(error, "response", None)
    return None if response is None else response.status_code


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no more is known"])[0][:120]
