"""Continuous generation: shared prompts computed once, finished texts leave at once and waiting ones enter."""

from __future__ import annotations

import bisect
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.backends.base import Generated
from harness.backends.torch import attention, head, sampling
from harness.backends.torch.answers import Answer
from harness.backends.torch.attention import Kept
from harness.backends.torch.memory import out_of_memory, within
from harness.backends.torch.pages import PAGE, Storage, Table, pages_of
from harness.backends.torch.prefill import Prefill
from harness.backends.torch.scoring import Spent
from harness.backends.torch.sharing import WORTH, Prompt, Shared, share
from harness.backends.torch.turn import Text, Turn, parts
from harness.errors import BackendError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

Choose = Callable[[Sequence[Answer], "torch.Tensor"], list[int]]


def generate(
    model: Any,
    answers: Sequence[Answer],
    *,
    batch_tokens: int,
    slots: int,
    kv_tokens: int,
    way: str,
    spent: Spent,
    choose: Choose = sampling.choose,
    worth: int = WORTH,
) -> Iterator[list[tuple[int, Generated]]]:
    """Answers by request index, as soon as each is finished.

    Args:
        model: a transformers model.
        answers: what is asked, nothing generated yet.
        batch_tokens: the most prompt tokens in one forward pass.
        slots: the most texts that grow at once.
        kv_tokens: the most tokens whose keys and values are kept at once.
        way: how prompts are computed, one of ``attention.WAYS``.
        spent: counts what it takes.
        choose: takes the next token of each answer from its logits.
        worth: how much sharing makes a segment, see ``sharing.py``.

    Raises:
        UserError: a single text needs more than ``kv_tokens``.
        BackendError: not even one token fits into the memory, or less of keys and values than ``kv_tokens``.
    """
    import torch

    shared = share([answer.context for answer in answers], slots, worth)
    prefill = Prefill(model, shared, batch_tokens, way, spent)
    flow = Flow(model, shared, answers, prefill, slots, kv_tokens, spent, choose)
    while not flow.done:
        try:
            with torch.inference_mode():
                finished = flow.advance()
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise BackendError(
                f"the memory does not hold the keys and values of {kv_tokens:,} tokens; lower backend.kv_memory"
            ) from error
        if finished:
            yield [(answer.index, answer.answer()) for answer in finished]


class Flow:
    """Texts on their way: prompts not yet computed, computed ones that wait for a slot, and those that grow."""

    def __init__(
        self,
        model: Any,
        shared: Shared,
        answers: Sequence[Answer],
        prefill: Prefill,
        slots: int,
        kv_tokens: int,
        spent: Spent,
        choose: Choose,
    ) -> None:
        self._model = model
        self._shared = shared
        self._answers = answers
        self._prefill = prefill
        self._slots = slots
        self._width = slots
        self._limit = kv_tokens
        self._spent = spent
        self._choose = choose
        self._texts: list[Text] = []
        self._waiting: deque[tuple[Prompt, Kept, deque[Answer]]] = deque()
        self._storage = Storage()
        self._table = Table()
        self._kept: dict[int, Kept] = {}
        # how many answers still need each segment
        self._needed = [0] * len(shared.segments)
        for prompt in shared.prompts:
            for number in prompt.segments:
                self._needed[number] += len(prompt.requests)
        self._worst = max(
            pages_of(len(prompt) + max(answers[i].request.max_tokens for i in prompt.requests)) * PAGE
            for prompt in shared.prompts
        )

    @property
    def done(self) -> bool:
        """Whether all answers are finished."""
        return self._prefill.done and not self._waiting and not self._texts

    def advance(self) -> list[Answer]:
        """One forward pass: of prompts while slots are free, else of the newest tokens. Returns who finished.

        Raises:
            UserError: a single text needs more memory than there may be.
        """
        self._enter()
        if len(self._texts) < self._slots and not self._waiting and not self._prefill.done:
            # room is left for the longest text, so that whatever is computed can grow
            others = self._taken() + self._worst
            while others + self._prefill.coming > self._limit and not self._texts and self._prefill.narrow():
                pass
            needed = others + self._prefill.coming
            if needed <= self._limit:
                self._shrink(needed - self._worst - self._growing * PAGE)
                return self._prompts()
            if not self._texts:
                within(self._model, self._limit, needed)
        return self._tokens()

    def _taken(self) -> int:
        """Tokens of memory that are promised: segments, prompts that wait, and what each text may grow to."""
        segments = sum(len(self._shared.segments[number]) for number in self._kept)
        waiting = sum(len(prompt) for prompt, _, _ in self._waiting)
        return self._prefill.longest + segments + waiting + self._growing * PAGE

    @property
    def _growing(self) -> int:
        """Pages that the texts may come to need."""
        return sum(text.most for text in self._texts)

    def _shrink(self, others: int) -> None:
        """Give pages back that were needed before, where other things need their room now."""
        if self._storage.capacity * PAGE + others > self._limit:
            self._close_up()
            self._storage.resize(self._table.top)

    def _enter(self) -> None:
        """Waiting texts take free slots, while each can grow to its limit."""
        while self._waiting and len(self._texts) < self._slots:
            prompt, kept, answers = self._waiting[0]
            text = Text(answers[0], prompt)
            if self._texts and self._taken() + text.most * PAGE > self._limit:
                return
            answers.popleft()
            if not answers:
                self._waiting.popleft()
            # in the order of the prompts, so that those below a segment are neighbours
            bisect.insort(self._texts, text, key=lambda t: t.prompt.place)
            text.pages += [self._table.take() for _ in range(pages_of(len(prompt)))]
            self._storage.fit(self._table.top, self._growing)
            if text.pages:
                for layer, keys in kept.keys.items():
                    self._storage.write(layer, text.pages, keys, kept.values[layer])

    def _prompts(self) -> list[Answer]:
        """Compute the next prompts; their texts, of one token now, wait for slots."""
        computed = self._prefill.advance()
        self._kept |= computed.segments
        finished = []
        for (prompt, kept), row in zip(computed.prompts, self._logits(computed.hidden), strict=True):
            answers = [self._answers[i] for i in prompt.requests]
            for answer, token in zip(answers, self._choose(answers, row), strict=True):
                answer.push(token)
                if answer.finish is not None:
                    self._leave(prompt)
                    finished.append(answer)
            if left := deque(answer for answer in answers if answer.finish is None):
                self._waiting.append((prompt, kept, left))
        self._spent.new_tokens += sum(len(prompt.requests) for prompt, _ in computed.prompts)
        return finished

    def _logits(self, hidden: torch.Tensor) -> Iterator[torch.Tensor]:
        """The logits (1, vocabulary) of each hidden state (n, size), as many computed at once as may be held."""
        rows, start = head.chunk_rows(self._model), 0
        while start < len(hidden):
            rows = min(rows, len(hidden) - start)
            began = time.perf_counter()
            try:
                part = head.logits(self._model, hidden[start : start + rows])
            except RuntimeError as error:
                if not out_of_memory(error) or rows == 1:
                    raise
                rows //= 2
                continue
            self._spent.model_seconds += time.perf_counter() - began
            start += rows
            yield from part[:, None]

    def _tokens(self) -> list[Answer]:
        """The next token of every text."""
        for text in self._texts:
            if text.own > len(text.pages) * PAGE:
                text.pages.append(self._table.take())
        self._storage.fit(self._table.top, self._growing)
        for start in range(0, len(self._texts), self._width):
            part = self._texts[start : start + self._width]
            chosen = self._turn(part)
            for text, token in zip(part, chosen, strict=True):
                text.answer.push(token)
        self._spent.new_tokens += len(self._texts)
        ended = [text for text in self._texts if text.answer.finish is not None]
        for text in ended:
            self._table.give(text.pages)
            self._leave(text.prompt)
        if ended:
            self._texts = [text for text in self._texts if text.answer.finish is None]
            if self._table.loose:
                self._close_up()
        return [text.answer for text in ended]

    def _turn(self, texts: Sequence[Text]) -> list[int]:
        """One forward pass of the texts' newest tokens; in halves, from then on, if memory runs out.

        Raises:
            BackendError: not even one text fits into the memory.
        """
        began = time.perf_counter()
        try:
            chosen = self._choose([text.answer for text in texts], self._forward(texts))
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if len(texts) == 1:
                raise BackendError("a forward pass of a single text does not fit into the memory") from error
        else:
            self._spent.model_seconds += time.perf_counter() - began
            self._spent.turns += 1
            return chosen
        # not while the error is handled: its traceback keeps the tensors of the failed pass
        half = len(texts) // 2
        self._width = min(self._width, half)
        log.warning("out of memory: going on with %d texts a pass", self._width)
        return self._turn(texts[:half]) + self._turn(texts[half:])

    def _forward(self, texts: Sequence[Text]) -> torch.Tensor:
        """Logits after the newest token of each text (texts, vocabulary)."""
        import torch

        turn = Turn(texts, parts(texts, self._shared.segments, self._kept), self._storage, self._table.top)
        device = self._model.get_input_embeddings().weight.device
        with attention.exchanged(self._model):
            out = self._model.base_model(
                input_ids=torch.tensor([[text.answer.new[-1] for text in texts]], device=device),
                position_ids=torch.tensor([[text.position for text in texts]], device=device),
                use_cache=False,
                step=turn,
            )
        return head.logits(self._model, out.last_hidden_state[0])

    def _close_up(self) -> None:
        self._storage.move(self._table.close_up([text.pages for text in self._texts]))

    def _leave(self, prompt: Prompt) -> None:
        """An answer to the prompt is finished: segments that nobody needs any more are dropped."""
        for number in prompt.segments:
            self._needed[number] -= 1
            if not self._needed[number]:
                self._kept.pop(number, None)
