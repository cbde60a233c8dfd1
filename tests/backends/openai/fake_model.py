"""A language model of hashes behind the API: real distributions, echoes and conversations, each of which can be off."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from typing import Any

from aiohttp import web

WORDS = [" A", " B", " C", " D", " the", " a", " house", " tree", " and", ".", " river", " old", " blue", " of", " on",
         " she", " saw", " water", " green", " one", " two", " hill", " sky", " with", " went"]  # fmt: skip


def tokens_of(text: str) -> list[str]:
    return re.findall(r" ?\w+| ?[^\w\s]|\s", text)


def logprobs_after(context: str) -> dict[str, float]:
    """Of every word after this context."""
    weights = {
        word: 4.0 * int(hashlib.sha256(f"{context}|{word}".encode()).hexdigest()[:6], 16) / 16**6 for word in WORDS
    }
    total = math.log(sum(math.exp(value) for value in weights.values()) * 1.05)
    return {word: value - total for word, value in weights.items()}


def logprob(context: str, token: str) -> float:
    return logprobs_after(context).get(token, -12.0)


@dataclass
class FakeModel:
    """What answers a body; assign it to ``FaultServer.refuse``."""

    chat: bool = True
    plain: bool = True
    echo: bool = True
    shifted: bool = False
    lists: bool = True
    top: int = 20
    top_chat: int = 20
    stops: int = 4
    seeds: bool = True
    continues: str = "when told"
    limit_key: str = "max_tokens"
    least_new: int = 0

    def __call__(self, body: dict[str, Any]) -> web.Response:
        spoken = "messages" in body
        if not (self.chat if spoken else self.plain):
            return _refuse(404, "no such path")
        if spoken and self.limit_key not in body:
            return _refuse(400, f"use {self.limit_key} instead of max_tokens")
        if len(body.get("stop") or ()) > self.stops:
            return _refuse(400, f"at most {self.stops} stop strings")
        if "seed" in body and not self.seeds:
            return _refuse(400, "unknown field seed")
        return self._chat(body) if spoken else self._complete(body)

    def _chat(self, body: dict[str, Any]) -> web.Response:
        if body.get("top_logprobs", 0) > self.top_chat:
            return _refuse(400, "too many top_logprobs")
        last = body["messages"][-1]
        goes_on = last["role"] == "assistant" and (
            self.continues == "by itself" or (self.continues == "when told" and body.get("continue_final_message"))
        )
        context = "".join(f"<{m['role']}>{m['content']}" for m in body["messages"]) + ("" if goes_on else "<assistant>")
        text = " 6 7" if goes_on and last["content"].endswith("5") else self._write(context, body[self.limit_key])[0]
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}, "finish_reason": "length"}
        if body.get("logprobs"):
            top = self._top(context, body["top_logprobs"])
            choice["logprobs"] = {
                "content": [{"token": text, "top_logprobs": [{"token": t, "logprob": v} for t, v in top.items()]}]
            }
        choices = [{**choice, "index": i} for i in range(body.get("n", 1))]
        return web.json_response({"model": "fake", "choices": choices, "usage": _usage(context, text)})

    def _complete(self, body: dict[str, Any]) -> web.Response:
        if (body.get("logprobs") or 0) > self.top:
            return _refuse(400, f"at most {self.top} logprobs")
        if body.get("max_tokens", 16) < self.least_new:
            return _refuse(400, "max_tokens is too small")
        prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
        if len(prompts) > 1 and not self.lists:
            return _refuse(400, "one prompt at a time")
        choices = [self._choice(prompt, body, i) for i, prompt in enumerate(prompts)]
        return web.json_response({"model": "fake", "choices": choices, "usage": _usage("".join(prompts), "")})

    def _choice(self, prompt: str, body: dict[str, Any], index: int) -> dict[str, Any]:
        text, written = self._write(prompt, body.get("max_tokens", 16))
        before = tokens_of(prompt) if body.get("echo") and self.echo else []
        choice: dict[str, Any] = {"index": index, "finish_reason": "length", "text": "".join(before) + text}
        if body.get("logprobs"):
            tokens = before + written
            start = "" if before else prompt
            contexts = [start + "".join(tokens[:i]) for i in range(len(tokens))]
            values: list[float | None] = [logprob(c, t) for c, t in zip(contexts, tokens, strict=True)]
            if before and self.shifted:
                values = [*values[1:], -1.0]
            elif before:
                values[0] = None
            offsets = [len("".join(tokens[:i])) for i in range(len(tokens))]
            tops = [self._top(c, body["logprobs"]) | {t: logprob(c, t)} for c, t in zip(contexts, tokens, strict=True)]
            choice["logprobs"] = {
                "tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets
            }  # fmt: skip
        return choice

    def _write(self, context: str, new: int) -> tuple[str, list[str]]:
        written: list[str] = []
        for _ in range(new):
            after = logprobs_after(context + "".join(written))
            written.append(max(after, key=lambda word: after[word]))
        return "".join(written), written

    def _top(self, context: str, top: int) -> dict[str, float]:
        after = sorted(logprobs_after(context).items(), key=lambda pair: -pair[1])
        return dict(after[:top])


def _usage(context: str, text: str) -> dict[str, int]:
    return {"prompt_tokens": len(tokens_of(context)), "completion_tokens": len(tokens_of(text))}


def _refuse(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status)
