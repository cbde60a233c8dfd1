"""The way to the server and back: the official client over aiohttp, without what it does for people.

The client knows where a path is, who asks and by which headers. It says so once a path; that takes it longer than all
the rest of a request together, and nothing in it changes. Its models of answers are left out (they accept answers that
are none), and so are its retries, which know nothing of a budget.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, cast

import aiohttp
import httpx2
import openai

from harness.backends.openai.faults import Passing, Reply

SENT = frozenset({"authorization", "user-agent"})  # of the client's headers; the others describe this machine
ACCEPTED = "application/json, text/event-stream"
DECODED = frozenset({"content-encoding", "content-length"})  # headers that no longer hold
CONNECT = 30.0  # seconds


class Transport(Protocol):
    """Sends requests; one for the life of an event loop."""

    async def post(self, path: str, body: bytes) -> Reply:
        """Send one request and read the whole reply, whatever its status.

        Raises:
            Passing: no connection, a broken one, or none of the reply's bytes for too long.
        """

    async def close(self) -> None:
        """Give connections and processes back."""


@dataclass(frozen=True)
class _Line:
    """How requests of one path are sent."""

    url: str
    """Where to."""
    headers: dict[str, str]
    """With the key."""


class _Lean(httpx2.AsyncClient):
    """What the official client sends its requests through: straight to aiohttp.

    Redirects are not followed, so that a key goes to no other place than the one that was named.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        super().__init__(transport=httpx2.MockTransport(lambda _: httpx2.Response(500)), trust_env=False)
        self._session = session
        self.last: _Line | None = None
        """How the last request was sent."""

    async def send(self, request: httpx2.Request, **_: Any) -> httpx2.Response:
        """Send and read all of the reply."""
        kept = {name: value for name, value in request.headers.items() if name in SENT}
        line = _Line(str(request.url), kept | {"content-type": "application/json", "accept": ACCEPTED})
        try:
            reply = await self.exchange(line, request.content)
        except TimeoutError as error:
            raise httpx2.ReadTimeout(str(error), request=request) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx2.ReadError(str(error), request=request) from error
        self.last = line
        headers = {k: v for k, v in reply.headers.items() if k.lower() not in DECODED}
        return httpx2.Response(reply.status, headers=headers, content=reply.body, request=request)

    async def exchange(self, line: _Line, body: bytes) -> Reply:
        """There and back."""
        async with self._session.post(line.url, data=body, headers=line.headers, allow_redirects=False) as reply:
            content = await reply.read()
            return Reply(reply.status, reply.headers, content)


class Direct:
    """Sends from this process."""

    def __init__(self, base_url: str, key: str, timeout: float) -> None:
        self._key = key.encode()
        # a proxy is looked up for every request where the environment may name one
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=timeout),
            trust_env=bool(urllib.request.getproxies()),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._lean = _Lean(self._session)
        self._client = openai.AsyncOpenAI(
            base_url=base_url, api_key=key, max_retries=0, timeout=timeout, http_client=self._lean
        )
        self._lines: dict[str, _Line] = {}

    async def post(self, path: str, body: bytes) -> Reply:
        """See :class:`Transport`."""
        line = self._lines.get(path)
        try:
            reply = await (self._first(path, body) if line is None else self._lean.exchange(line, body))
        except (TimeoutError, openai.APITimeoutError) as error:
            raise Passing("timeout", f"no answer in time ({_cause(error)})") from error
        except (aiohttp.ClientError, OSError, openai.APIConnectionError) as error:
            refused = isinstance(_root(error), aiohttp.ClientConnectorError)
            kind = "no connection" if refused else "broken connection"
            raise Passing(kind, f"{kind} ({_cause(error)})", charged=not refused) from error
        if self._key in reply.body and len(self._key) > 8:
            return Reply(reply.status, reply.headers, reply.body.replace(self._key, b"[key]"))
        return reply

    async def _first(self, path: str, body: bytes) -> Reply:
        """Let the client send, and note how it did."""
        try:
            response = await self._client.post(path, cast_to=httpx2.Response, content=body)
        except openai.APIStatusError as error:
            response = error.response
        line = self._lean.last
        if line is not None and line.url.endswith(path):
            self._lines[path] = line
        return Reply(response.status_code, cast(Mapping[str, str], response.headers), response.content)

    async def close(self) -> None:
        """See :class:`Transport`."""
        await self._session.close()

    async def __aenter__(self) -> Direct:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.shield(self.close())


def _root(error: BaseException) -> BaseException:
    while not isinstance(error, aiohttp.ClientError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _cause(error: BaseException) -> str:
    root = _root(error)
    return f"{type(root).__name__}: {str(root)[:200]}".rstrip(": ")
