"""A server on loopback that speaks the wire format of the published model's page, and misbehaves by script.

Every answer is a pure function of the request, so a run with faults can be held against one without. It charges for
all that it generates, whether or not the answer arrives, and counts everything.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web

FILTERS = {name: {"filtered": False} for name in ("hate", "self_harm", "sexual", "violence")}
OTHER_NAME = "meta-llama/llama-3.1-8b-instruct"
PRICE = 1.0  # US dollars for a million tokens, in and out

TURNED_AWAY = ("429", "429_wait", "500", "502_html", "503")
BROKEN = (
    "reset_before", "reset_in", "half_closed", "stall", "malformed", "truncated_json", "html_page", "error_in_200",
    "no_choices", "null_content", "no_finish",
)  # fmt: skip
STREAMED = ("duplicate", "foreign_id", "cut_stream")
HARMLESS = ("reset_after", "no_usage", "absurd_usage", "trickle")
"""The answer arrives all the same."""

Script = Callable[[str, int], str | None]
"""From a request's key and the number of times it was asked before to the fault it meets."""


def answer_of(key: str) -> str:
    """What the model says to a prompt."""
    number = int(hashlib.sha256(key.encode()).hexdigest()[:4], 16)
    return f"First I add, then add again again again.\n\nThe answer is {number}."


def prompt_of(body: dict[str, Any]) -> str:
    if "messages" in body:
        return "\n".join(str(message["content"]) for message in body["messages"])
    return str(body["prompt"])


class FaultServer:
    """Runs in a thread of its own while the context lasts."""

    def __init__(self, script: Script | None = None, *, latency: float = 0.002, stall: float = 2.0, page: bool = True):
        self.script = script or (lambda key, attempt: None)
        self.latency, self.stall = latency, stall
        self.page = page
        """Whether streams are like the page's: another model's name, no usage."""
        self.calls: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0
        self.capacity: int | None = None
        """Requests at once that it takes; more are turned away by 429."""
        self.charged = 0.0
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.refuse: Callable[[dict[str, Any]], web.Response | None] = lambda body: None
        self.sockets: set[int] = set()

    def __enter__(self) -> FaultServer:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def _run(self, ready: threading.Event) -> None:
        asyncio.run(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/v1/chat/completions", self._handle)
        app.router.add_post("/v1/completions", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.sockets.add(id(request.transport))
        key = prompt_of(body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if (refused := self.refuse(body)) is not None:
                return refused
            if self.capacity is not None and self.in_flight > self.capacity:
                self.faults["capacity"] += 1
                return _error(429, "too many requests")
            fault = self.script(key, self.calls[key])
            if fault in STREAMED and not body.get("stream"):
                fault = None
            self.calls[key] += 1
            if fault is not None:
                self.faults[fault] += 1
            return await self._answer(request, body, key, fault)
        finally:
            self.in_flight -= 1

    async def _answer(
        self, request: web.Request, body: dict[str, Any], key: str, fault: str | None
    ) -> web.StreamResponse:
        if fault in ("429", "429_wait"):
            headers = {"Retry-After": "0.05"} if fault == "429_wait" else {}
            return _error(429, "rate limit", headers)
        if fault in ("500", "503"):
            return _error(int(fault), "internal error")
        if fault == "502_html":
            return web.Response(status=502, body=b"<html><head><title>502 Bad Gateway</title></head></html>",
                                content_type="text/html")  # fmt: skip
        assert request.transport is not None
        if fault == "reset_before":
            request.transport.abort()
            return web.Response()
        await asyncio.sleep(self.latency)
        text = answer_of(key)
        words = text.split(" ")
        new = min(len(words), int(body.get("max_tokens", 16)))
        finish = "stop" if new == len(words) else "length"
        text = " ".join(words[:new])
        usage: dict[str, Any] | None = {"prompt_tokens": len(key.split()) + 10, "completion_tokens": new}
        assert usage is not None
        self.charged += (usage["prompt_tokens"] + new) * PRICE / 1e6
        if fault == "stall":
            await asyncio.sleep(self.stall)
            request.transport.abort()
            return web.Response()
        if fault == "html_page":
            return web.Response(body=b"<html>We will be back soon.</html>", content_type="text/html")
        if fault == "malformed":
            return web.Response(body=b'{"id": "chat-1", "choices": [}\xff', content_type="application/json")
        if fault == "error_in_200":
            return web.json_response({"error": {"message": "upstream went away", "code": "upstream_error"}})
        if fault == "no_usage":
            usage = None
        if fault == "absurd_usage":
            usage = {"prompt_tokens": 10**12, "completion_tokens": -5}
        chat = request.path.endswith("/chat/completions")
        if body.get("stream"):
            return await self._stream(request, body, key, text, finish, usage, fault, chat)
        content: str | None = None if fault == "null_content" else text
        choice: dict[str, Any] = {"index": 0, "finish_reason": None if fault == "no_finish" else finish,
                                  "content_filter_results": FILTERS}  # fmt: skip
        choice |= {"message": {"role": "assistant", "content": content}} if chat else {"text": content}
        data = {
            "id": f"chat-{self.calls[key]}", "object": "chat.completion", "created": 1731584707,
            "model": body["model"], "choices": [] if fault == "no_choices" else [choice], "usage": usage,
            "system_fingerprint": "",
        }  # fmt: skip
        return await self._write(request, json.dumps(data).encode(), "application/json", key, fault)

    async def _stream(
        self, request: web.Request, body: dict[str, Any], key: str, text: str, finish: str,
        usage: dict[str, Any] | None, fault: str | None, chat: bool,
    ) -> web.StreamResponse:  # fmt: skip
        words = [word if i == 0 else f" {word}" for i, word in enumerate(text.split(" "))]
        if fault == "null_content":
            words = []
        identity = f"chat-{self.calls[key]}"

        def chunk(part: str | None, reason: str | None, name: str = identity) -> dict[str, Any]:
            delta: dict[str, Any] = {"role": "assistant"} if part is None else {"content": part}
            choice = {"index": 0, "finish_reason": reason, "content_filter_results": FILTERS}
            choice |= {"delta": delta} if chat else {"text": part or ""}
            return {"id": name, "object": "chat.completion.chunk", "created": 1731586102, "model": OTHER_NAME,
                    "choices": [choice], "system_fingerprint": ""}  # fmt: skip

        chunks = [chunk(None, None), *(chunk(word, None) for word in words[:-1])]
        if fault == "duplicate":
            chunks.insert(2, chunks[2])
        if fault == "foreign_id":
            chunks.insert(2, chunk(" foreign words", None, "chat-of-another"))
        if fault == "null_content":
            chunks.append(chunk(None, finish))
        elif fault != "no_finish":
            chunks.append(chunk(words[-1], finish))
        if not self.page and usage is not None:
            chunks.append({"id": identity, "object": "chat.completion.chunk", "choices": [], "usage": usage})
        if fault == "no_choices":
            chunks = [{**c, "choices": []} for c in chunks]
        lines = [f"data: {json.dumps(c)}\n\n" for c in chunks]
        if fault == "cut_stream":
            lines = lines[: len(lines) // 2]
        else:
            lines.append("data: [DONE]\n\n")
        return await self._write(request, "".join(lines).encode(), "text/event-stream", key, fault)

    async def _write(
        self, request: web.Request, data: bytes, kind: str, key: str, fault: str | None
    ) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        if fault == "truncated_json":
            data = data[: len(data) // 2]
        if fault == "half_closed":
            # no length and no chunks: the end of the connection is the end of the reply
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode()
            transport.write(head + data[: len(data) // 2])
            transport.close()
            return web.Response()
        response = web.StreamResponse(headers={"Content-Type": kind})
        response.content_length = len(data)
        if fault in (None, *HARMLESS):
            # before it is sent: the client may be done with it while this server still waits for its last write
            self.delivered[key] += 1
        await response.prepare(request)
        if fault == "reset_in":
            await response.write(data[: len(data) // 2])
            transport.abort()
            return response
        if fault == "trickle":
            for at in range(0, len(data), 200):
                await response.write(data[at : at + 200])
                await asyncio.sleep(0.01)
        else:
            await response.write(data)
        await response.write_eof()
        if fault == "reset_after":
            transport.abort()
        return response


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message, "code": status}}, status=status, headers=headers)
