"""What a user says about a server, and what must be right before it is asked."""

from __future__ import annotations

import ipaddress
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from harness.errors import UserError
from harness.nearest import did_you_mean

log = logging.getLogger(__name__)
APIS = ("auto", "chat", "completions")
NO_KEY = "none"  # the client wants some key; servers without keys ignore it


@dataclass
class OpenAIOptions:
    """``conf/backend/openai.yaml`` and its like."""

    base_url: str | None = None
    """Where the API is, up to the version (``https://api.openai.com/v1``)."""
    model: str | None = None
    """The model's name there."""
    model_kind: str | None = None
    """``base`` or ``instruct``; None tells by the model's name."""
    revision: str | None = None
    """Names a state of the server's model, where its name does not: another one is asked anew."""
    key_env: str | None = None
    """The environment variable that holds the key; None for servers without keys."""
    api: str = "auto"
    """``chat`` or ``completions`` where a server has one of them only; ``auto`` finds out."""
    stream: bool = False
    """Whether answers are sent as they grow."""
    tokenizer: str | None = None
    """The model's tokenizer (a folder or a hub id): exact counts, and token ids where log-likelihoods are asked."""
    boundary: str = "strict"
    """What to do where an answer's first token merges with its context: ``strict`` refuses, ``split`` cuts."""
    context: int | None = None
    """The longest sequence in tokens, if known."""
    usd_per_million_in: float | None = None
    """Price of a million prompt tokens; None is unknown."""
    usd_per_million_out: float | None = None
    """Price of a million generated tokens; None is unknown."""
    concurrency: int | None = None
    """The most requests in flight; None lets the server decide, up to 512."""
    processes: int = 1
    """Processes that share the requests; with a budget, one."""
    requests_per_minute: float | None = None
    """The server's limit, if known."""
    tokens_per_minute: float | None = None
    """The server's limit, if known."""
    timeout: float = 300.0
    """Seconds without a byte from the server until an attempt is given up."""
    deadline: float = 900.0
    """Seconds until a request is given up, all its attempts together."""
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Further fields of every request, as the server names them."""

    def check(self) -> None:
        """Find what must be mended before anything is sent.

        Raises:
            UserError: a bad URL, a missing model, or a value out of range.
        """
        if not self.base_url:
            raise UserError("backend.base_url is not set.", "Give the API's address: backend.base_url=https://HOST/v1")
        parts = urlsplit(self.base_url)
        if parts.username or parts.password:
            raise UserError(
                f"backend.base_url has credentials in it (host {parts.hostname}).",
                "Put the key into an environment variable and name that: backend.key_env=NAME.",
            )
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise UserError(
                f"backend.base_url = {parts._replace(query='', fragment='').geturl()}, which is no plain web address.",
                "Give the address up to the version, without a query: https://HOST/v1",
            )
        if not self.model:
            raise UserError("backend.model is not set.", "Give the model's name on that server: backend.model=NAME")
        one_of("api", self.api, APIS)
        one_of("boundary", self.boundary, ("strict", "split"))
        for key in (
            "concurrency",
            "requests_per_minute",
            "tokens_per_minute",
            "timeout",
            "deadline",
            "context",
            "processes",
        ):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise UserError(f"backend.{key} = {value:g}, which is not above 0.", "Give a number above 0.")
        for key in ("usd_per_million_in", "usd_per_million_out"):
            value = getattr(self, key)
            if value is not None and value < 0:
                raise UserError(f"backend.{key} = {value:g}, which is negative.", "Give 0 or more.")
        if parts.scheme == "http" and self.key_env and not _near(parts.hostname):
            log.warning("backend.base_url is http: the key in %s would be sent in the open", self.key_env)

    def key(self) -> str:
        """The key, from the environment.

        Raises:
            UserError: it is not there.
        """
        if self.key_env is None:
            return NO_KEY
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise UserError(
                f"backend.key_env = {self.key_env}, but that environment variable is not set.",
                f"Run: export {self.key_env}=…   (harness plan needs no key)",
            )
        return key

    def price(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars; what has no known price counts as 0."""
        return (
            prompt_tokens * (self.usd_per_million_in or 0.0) + completion_tokens * (self.usd_per_million_out or 0.0)
        ) / 1e6

    @property
    def priced(self) -> bool:
        """Whether both prices are known."""
        return self.usd_per_million_in is not None and self.usd_per_million_out is not None


def one_of(key: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a value that is not among those allowed.

    Raises:
        UserError: it is not.
    """
    if value not in allowed:
        raise UserError(
            f"backend.{key} = {value}, which is none of {', '.join(allowed)}.", did_you_mean(value, allowed)
        )


def _near(host: str) -> bool:
    """Whether a host is this machine or in a private network."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith((".local", ".localhost"))
