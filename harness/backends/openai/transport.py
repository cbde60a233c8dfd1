"""The way to the server and back: the official client over aiohttp, without what it does for people.

The client adds the key and knows the protocol's errors. Its models of answers are left out (they accept answers that
are none), and so are its retries, which know nothing of a budget, and its own passage through an HTTP library, which
takes longer than all the rest.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, cast

import aiohttp
import httpx2
import openai

from harness.backends.openai.faults import Passing, Reply

SENT = frozenset({"authorization", "user-agent"})  # of the client's headers; the others describe this machine
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


class _Lean(httpx2.AsyncClient):
    """What the official client sends its requests through: straight to aiohttp.

    Redirects are not followed, so that a key goes to no other place than the one that was named.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        super().__init__(transport=httpx2.MockTransport(lambda _: httpx2.Response(500)), trust_env=False)
        self._session = session
        self._urls: dict[str, httpx2.URL] = {}

    def build_request(self, method: str, url: Any, **options: Any) -> httpx2.Request:
        """Without merging cookies, parameters and defaults, of which there are none."""
        text = str(url)
        if text not in self._urls:
            self._urls[text] = httpx2.URL(text)
        kept = [(name, value) for name, value in options["headers"] if name.lower() in SENT]
        headers = [*kept, ("content-type", "application/json"), ("accept", "application/json, text/event-stream")]
        return httpx2.Request(method, self._urls[text], headers=headers, content=options.get("content"))

    async def send(self, request: httpx2.Request, **_: Any) -> httpx2.Response:
        """Send and read all of the reply."""
        try:
            async with self._session.request(
                request.method,
                str(request.url),
                data=request.content,
                headers=dict(request.headers.items()),
                allow_redirects=False,
            ) as reply:
                content = await reply.read()
                headers = {name.lower(): value for name, value in reply.headers.items()}
        except TimeoutError as error:
            raise httpx2.ReadTimeout(str(error), request=request) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx2.ReadError(str(error), request=request) from error
        # aiohttp has decompressed it
        headers.pop("content-encoding", None)
        headers.pop("content-length", None)
        return httpx2.Response(reply.status, headers=headers, content=content, request=request)


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
        self._client = openai.AsyncOpenAI(
            base_url=base_url, api_key=key, max_retries=0, timeout=timeout, http_client=_Lean(self._session)
        )

    async def post(self, path: str, body: bytes) -> Reply:
        """See :class:`Transport`."""
        try:
            response = await self._client.post(path, cast_to=httpx2.Response, content=body)
        except openai.APIStatusError as error:
            response = error.response
        except openai.APITimeoutError as error:
            raise Passing("timeout", f"no answer in time ({_cause(error)})") from error
        except openai.APIConnectionError as error:
            refused = isinstance(_root(error), aiohttp.ClientConnectorError)
            kind = "no connection" if refused else "broken connection"
            raise Passing(kind, f"{kind} ({_cause(error)})", charged=not refused) from error
        content = response.content
        if self._key in content and len(self._key) > 8:
            content = content.replace(self._key, b"[key]")
        return Reply(response.status_code, cast(Mapping[str, str], response.headers), content)

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
    while error.__cause__ is not None:
        error = error.__cause__
        if isinstance(error, aiohttp.ClientError):
            return error
    return error


def _cause(error: BaseException) -> str:
    root = _root(error)
    return f"{type(root).__name__}: {str(root)[:200]}".rstrip(": ")
