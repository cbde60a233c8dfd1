"""What can go wrong between a request and its answer, in three kinds.

Passing: asking again may help. Refused: this request will have no answer. For good (``BackendError``): no request will.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import BackendError

PASSING = frozenset({408, 409, 423, 425, 429})
FREE = frozenset({429, 503, 529})  # turned away at the door; behind other errors of a server work may have been done
NO_CREDIT = re.compile(
    r"insufficient.{0,3}(quota|credit|balance|fund)|exceeded your current quota|billing|payment", re.I
)
NO_MODEL = re.compile(
    r"model_not_found|(unknown|invalid|no such) model|\bmodel\b[^.]{0,80}(does not exist|not found|not available)", re.I
)
LONGEST = 300


@dataclass(frozen=True)
class Reply:
    """What a server sent, complete."""

    status: int
    """HTTP status."""
    headers: Mapping[str, str]
    """Names in any case; looked up in lower case, so the mapping does not tell them apart."""
    body: bytes
    """All of it, decompressed."""


class Passing(Exception):
    """An attempt failed; another may not."""

    def __init__(
        self, kind: str, message: str, *, wait: float | None = None, charged: bool = True, tries: int | None = None,
        busy: bool = False, whole: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.kind = kind
        """A few words to count it under."""
        self.wait = wait
        """Seconds that the server asks to wait."""
        self.charged = charged
        """Whether the attempt may have been billed."""
        self.tries = tries
        """After so many of its kind the request counts as refused; None goes on until the deadline."""
        self.busy = busy
        """Whether the server has too much to do."""
        self.whole = whole
        """Whether the next attempt should not be a stream."""


class Refused(Exception):
    """This request will have no answer."""

    def __init__(self, message: str, *, prompt_tokens: int = 0, completion_tokens: int = 0, final: bool = True) -> None:
        super().__init__(message)
        self.prompt_tokens = prompt_tokens
        """Tokens that were billed all the same."""
        self.completion_tokens = completion_tokens
        """The same, generated."""
        self.final = final
        """Whether asking again in another run is useless, too."""


def check_status(reply: Reply) -> None:
    """Return if the reply is an answer.

    Raises:
        Passing, Refused, BackendError: what the status and the message say it is.
    """
    status = reply.status
    if status == 200:
        return
    message = f"HTTP {status}: {describe(reply.body)}"
    if 300 <= status < 400:
        place = reply.headers.get("location", "elsewhere")
        raise BackendError(f"the server sends requests on to {place}: set backend.base_url to where the API is")
    if status in (401, 402, 407) or (status == 429 and NO_CREDIT.search(message)):
        raise BackendError(f"the server refuses the key or has no credit for it: {message}")
    if status == 403 and not re.search(r"moderat|flagged|content|policy|safety", message, re.I):
        raise BackendError(f"the server refuses the key: {message}")
    if status == 404 or (status == 400 and NO_MODEL.search(message)):
        raise BackendError(f"the server does not know the model or the path: {message}")
    if status in PASSING or (status >= 500 and status != 501):
        free = status in FREE or status in PASSING
        wait = asked_to_wait(reply.headers)
        raise Passing(f"HTTP {status}", message, wait=wait, charged=not free, busy=status in FREE)
    raise Refused(message)


def check_error(data: Mapping[str, Any]) -> None:
    """Return if a body that came under status 200 holds no error.

    Raises:
        Passing, Refused, BackendError: see :func:`check_status`; an unknown error may pass.
    """
    error = data.get("error")
    if not error:
        return
    code = error.get("code") if isinstance(error, Mapping) else None
    if isinstance(code, int) and 400 <= code < 600:
        check_status(Reply(code, {}, json.dumps(dict(data)).encode()))
    message = describe(json.dumps(dict(data)).encode())
    if NO_CREDIT.search(f"{code} {message}"):
        raise BackendError(f"the server has no credit for the key: {message}")
    raise Passing("error under HTTP 200", message, tries=6)


def describe(body: bytes) -> str:
    """The message in an error's body, in one line."""
    text = body.decode("utf-8", "replace")
    try:
        data = json.loads(text)
    except ValueError:
        # an HTML page: its text will do
        text = re.sub(r"(?s)<(style|script).*?</\1>|<[^>]*>", " ", text)
    else:
        found = data.get("error", data) if isinstance(data, dict) else data
        if isinstance(found, dict):
            words = [str(found[key]) for key in ("message", "detail", "code", "type") if found.get(key)]
            found = " / ".join(dict.fromkeys(words)) or found
        text = found if isinstance(found, str) else json.dumps(found)
    line = " ".join(text.split())
    return line[:LONGEST] + ("…" if len(line) > LONGEST else "") if line else "no message"


def asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds by ``Retry-After``, which is a number or a date; None if it is not there or unreadable."""
    if (ms := _number(headers.get("retry-after-ms"))) is not None:
        return ms / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < 1e9 else None
