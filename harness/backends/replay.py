"""Answers that were imported: a model that can be scored again, and not asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.backends.base import Capabilities, Response, model_kind
from harness.errors import UserError
from harness.plan.request import Request
from harness.plan.tokens import Tokenizer


@dataclass
class ReplayOptions:
    """``conf/backend/replay.yaml``."""

    model: str | None = None
    """The model that wrote the answers."""
    model_kind: str | None = None
    """``base`` or ``instruct``; None tells by the name."""
    sha256: str | None = None
    """Hash of the files that the answers came from."""


@dataclass(frozen=True)
class ReplayBackend:
    """See the module; :mod:`harness.replay` makes its runs."""

    options: ReplayOptions
    """What is known of the model."""

    @property
    def capabilities(self) -> Capabilities:
        """Nothing can be asked."""
        return Capabilities(loglikelihood=False, generation=False)

    def check(self, asks: bool = True) -> None:
        """Refuse.

        Raises:
            UserError: always.
        """
        raise UserError(
            "backend = replay, which holds the answers of an imported run and cannot be asked.",
            "Use harness import FILE --run NAME, and harness score on the run.",
        )

    def fingerprint(self) -> str:
        """Names the files."""
        return f"replay:{self.options.sha256}"

    def describe(self) -> dict[str, Any]:
        """For the receipt."""
        name = self.options.model or "unknown"
        kind = self.options.model_kind or model_kind(name)
        return {"model": name, "kind": kind, "kind_of_backend": "replay", "dtype": "imported answers"}

    def tokenizer(self) -> Tokenizer | None:
        """None is at hand."""
        return None

    def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        """Refuse, as :meth:`check`."""
        self.check()
        yield []

    def took(self) -> dict[str, Any]:
        """Nothing is asked."""
        return {}

    def price(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Nothing is billed."""
        return 0.0

    def tokens_per_second(self) -> float | None:
        """Nothing is generated."""
        return None
