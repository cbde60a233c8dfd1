"""What a server can do, as a probe found it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

FEWEST_STOPS = 4  # what OpenAI's own server takes


@dataclass(frozen=True)
class Found:
    """A server's abilities; the defaults claim nothing."""

    chat: bool = False
    """Conversations (``/chat/completions``)."""
    plain: bool = False
    """Text that goes on from a prompt (``/completions``)."""
    echo: bool = False
    """Log-probabilities of the prompt's own tokens, and they are right."""
    echo_new: int = 0
    """Tokens that it must generate to echo a prompt."""
    prompt_lists: bool = False
    """Several prompts in one request."""
    prompt_ids: bool = False
    """Prompts as token ids."""
    top_plain: int = 0
    """Most likely tokens that are listed with their log-probabilities after a plain prompt."""
    top_chat: int = 0
    """The same at the beginning of an answer in a conversation."""
    token_ids: bool = False
    """Log-probabilities of chosen tokens (``logprob_token_ids``)."""
    n: bool = False
    """Several answers to one request."""
    stops: int = FEWEST_STOPS
    """Stop strings that it takes at once."""
    seed: bool = False
    """A seed for sampled answers is accepted."""
    continues: Literal["no", "by itself", "when told"] = "no"
    """Whether it continues an assistant's turn that has begun."""
    usage_in_streams: bool = False
    """Whether streams end with the tokens used."""
    limit_key: str = "max_tokens"
    """What it calls the limit of generated tokens."""
    model: str | None = None
    """The model's name as it gives it."""
    notes: tuple[str, ...] = field(default=())
    """What was refused, and why."""

    @property
    def described(self) -> dict[str, Any]:
        """Plain data for the receipt."""
        return {**vars(self), "notes": list(self.notes)}
