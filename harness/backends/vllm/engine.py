"""One vLLM engine in this process: requests go in while there is room, outputs come out as they are done."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from harness.backends.vllm.asking import Ask, read_score, score_params
from harness.backends.vllm.options import VllmOptions
from harness.errors import BackendError, UserError

log = logging.getLogger(__name__)
WINDOW = (
    4  # requests waiting in the engine for each that it computes: its queue is never empty, and never all of a suite
)
TOLERANCE = {"float32": 1e-3}  # of log-likelihoods of three tokens; half precision gets half a nat
HALF_TOLERANCE = 0.5


def quiet() -> None:
    """Warnings only, and no statistics sent home; vLLM reads these when it is imported."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")


class Engine:
    """A loaded ``vllm.LLM``."""

    def __init__(self, model: str, options: VllmOptions) -> None:
        """Load the model.

        Raises:
            UserError: the arguments do not fit together, found before the weights are read.
            BackendError: the engine does not start.
        """
        quiet()
        from vllm import LLM
        from vllm.engine.arg_utils import EngineArgs

        arguments = {"model": model, "revision": options.revision, "dtype": options.dtype, **options.engine}
        try:
            config = EngineArgs(**arguments).create_engine_config()
        except (ValueError, TypeError, RuntimeError, OSError) as error:
            raise UserError(
                f"backend.engine = {options.engine}: {_first_line(error)}", "Change that argument of vLLM."
            ) from error
        self._newer = bool(getattr(config, "use_v2_model_runner", False))
        if options.scoring != "prompt_logprobs":
            arguments |= self._forcing_arguments()
        try:
            self.llm = LLM(**arguments)
        except (ValueError, RuntimeError, OSError, ImportError) as error:
            log.debug("vLLM did not start", exc_info=True)
            raise BackendError(f"vLLM cannot load {model}: {_first_line(error)}") from error
        self._engine = self.llm.llm_engine
        self.max_length = int(config.model_config.max_model_len)
        self.dtype = str(config.model_config.dtype).removeprefix("torch.")
        self._window = WINDOW * int(config.scheduler_config.max_num_seqs)
        self._count = 0

    def _forcing_arguments(self) -> dict[str, Any]:
        """What the engine needs at its start to be made to say tokens later."""
        if self._newer:
            return {"enable_trace_replay": True}
        from harness.backends.vllm import forcing

        return {"logits_processors": [forcing.NAME]}

    def forcing(self, tokens: Sequence[int]) -> dict[str, Any]:
        """The sampling arguments that make the engine say these tokens."""
        if self._newer:
            return {"trace_decode_token_ids": list(tokens)}
        from harness.backends.vllm import forcing

        return {"extra_args": {forcing.KEY: list(tokens)}}

    def run(self, asks: Sequence[tuple[Ask, dict[str, Any]]]) -> Iterator[list[tuple[Ask, Any]]]:
        """Outputs of requests with their sampling arguments, in the order in which they finish.

        What is unfinished when the caller leaves is taken back.

        Raises:
            BackendError: the engine died or refused a request.
        """
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt
        from vllm.v1.engine.exceptions import EngineDeadError

        waiting = iter(asks)
        flying: dict[str, tuple[Ask, str]] = {}
        try:
            while True:
                while len(flying) < self._window and (following := next(waiting, None)) is not None:
                    ask, arguments = following
                    name = str(self._count)
                    self._count += 1
                    prompt = TokensPrompt(prompt_token_ids=list(ask.prompt))
                    handle = self._engine.add_request(name, prompt, SamplingParams(**arguments))
                    flying[name] = (ask, str(handle))
                if not flying:
                    return
                done = []
                for output in self._engine.step():
                    if output.finished:
                        ask, _ = flying.pop(str(output.request_id))
                        done.append((ask, output))
                if done:
                    yield done
        except (EngineDeadError, ValueError) as error:
            raise BackendError(f"vLLM failed: {_first_line(error)}") from error
        finally:
            with contextlib.suppress(EngineDeadError):
                self._engine.abort_request([handle for _, handle in flying.values()], internal=True)

    def problem_of_forcing(self) -> str | None:
        """Why forced answers are not to be trusted here, if they are not: tried on a few tokens, both ways."""
        size = int(self.llm.llm_engine.model_config.get_vocab_size())

        def ids(seed: int, n: int) -> tuple[int, ...]:
            return tuple((seed * 7919 + i * 104729) % size for i in range(n))

        context, answers = ids(1, 20), [ids(2, 3), ids(3, 3)]
        asks = [Ask(i, 0, "forced", context, answer) for i, answer in enumerate(answers)]
        asks += [Ask(i, 0, "prompt_logprobs", context + answer, answer) for i, answer in enumerate(answers)]
        pairs = [(ask, score_params(ask, self.forcing(ask.wanted))) for ask in asks]
        found: dict[tuple[int, str], float] = {}
        try:
            for batch in self.run(pairs):
                found |= {(ask.owner, ask.way): read_score(ask, output)[0][1] for ask, output in batch}
        except (BackendError, KeyError, TypeError) as error:
            return _first_line(error)
        worst = max(abs(found[i, "forced"] - found[i, "prompt_logprobs"]) for i in range(len(answers)))
        if not worst <= TOLERANCE.get(self.dtype, HALF_TOLERANCE):
            return f"log-likelihoods of a few tokens differ by {worst:.2g}"
        return None


def _first_line(error: BaseException) -> str:
    """What went wrong; of pydantic's long messages the line that says it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line and "validation error" not in line]
    return (telling or lines or [type(error).__name__])[0]
