"""Hands requests to replicas, and again where a replica died."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness import __version__
from harness.backends.base import Backend, Capabilities, Response
from harness.backends.replicas import cluster
from harness.backends.replicas.chunks import Chunk, Work
from harness.backends.replicas.options import ReplicaOptions
from harness.backends.replicas.replica import Replica
from harness.errors import BackendError, UserError
from harness.plan.request import Request
from harness.plan.tokens import Tokenizer

log = logging.getLogger(__name__)
TRIES = 3  # replicas that may die over one chunk, or in a row before they are ready
PATIENCE = 60.0  # seconds without news before a word about what is waited for


@dataclass(eq=False)
class Worker:
    """A replica as the driver sees it."""

    actor: Any
    """The actor's handle."""
    reply: Any
    """What is waited for: its identity, a stream of responses, or None."""
    ready: bool = False
    """Whether its identity has come."""
    chunk: Chunk | None = None
    """What it works on."""


class ReplicatedBackend:
    """Several engines of one backend; to everyone else, that backend."""

    def __init__(self, make: Callable[[], Backend], options: ReplicaOptions, gpus: float = 0.0) -> None:
        """Nothing is started yet.

        Args:
            make: makes the backend, in any process.
            options: how many replicas, and where.
            gpus: GPUs that one engine needs where there are any.
        """
        self._make = make
        self._inner = make()
        self._options = options
        self._gpus = gpus
        self._workers: list[Worker] = []
        self._connected = False
        self._taken: float = 0.0
        self._died = 0
        self._failed_starts = 0

    @property
    def capabilities(self) -> Capabilities:
        """Those of the backend."""
        return self._inner.capabilities

    def check(self, asks: bool = True) -> None:
        """See :meth:`harness.backends.base.Backend.check`."""
        if asks:
            cluster.check(self._options.ray)
        self._inner.check(asks)

    def fingerprint(self) -> str:
        """The backend's own: how many engines there are changes no answer."""
        return self._inner.fingerprint()

    def describe(self) -> dict[str, Any]:
        """The backend's own, and how many engines there are."""
        return {**self._inner.describe(), "replicas": self._options.replicas}

    def tokenizer(self) -> Tokenizer | None:
        """The backend's own."""
        return self._inner.tokenizer()

    def price(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The backend's own."""
        return self._inner.price(prompt_tokens, completion_tokens)

    def tokens_per_second(self) -> float | None:
        """As if every replica were as fast as one here."""
        one = self._inner.tokens_per_second()
        return None if one is None else one * self._options.replicas

    def took(self) -> dict[str, Any]:
        """What each replica that is alive took, and how many died."""
        if not self._connected:
            return {}
        import ray

        reports = []
        for worker in self._workers:
            try:
                reports.append(ray.get(worker.actor.took.remote(), timeout=PATIENCE))
            except ray.exceptions.RayError:
                log.warning("a replica does not say what it took")
        return {"replicas": [report for report in reports if report], "died": self._died}

    def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        """Responses as they come from any replica; see :meth:`harness.backends.base.Backend.answer`.

        Raises:
            BackendError: replicas keep dying, or one failed for good.
        """
        self._connect()
        work = Work(requests, self._options.replicas)
        missing = self._options.replicas - len(self._workers)
        self._workers += [self._start() for _ in range(missing)]
        try:
            while work or any(worker.chunk for worker in self._workers):
                for worker in self._workers:
                    if worker.ready and worker.chunk is None and work:
                        self._hand(worker, work.take())
                for worker in self._news():
                    if answered := self._hear(worker, work):
                        yield [(requests[i], response) for i, response in answered]
        finally:
            self._drop([worker for worker in self._workers if worker.chunk is not None])

    def _connect(self) -> None:
        if self._connected:
            return
        if cluster.connect(self._options.ray, self._options.replicas):
            weakref.finalize(self, cluster.leave)
        self._connected = True
        import ray

        have = float(ray.cluster_resources().get("GPU", 0))
        wanted = self._options.ray.gpus
        self._taken = wanted if wanted is not None else self._gpus if have else 0.0
        total = self._taken * self._options.replicas
        if total > have:
            problem = (
                f"backend.replicas = {self._options.replicas}, each on {self._taken:g} GPUs, "
                f"but there are {have:g} GPUs."
            )
            if self._options.ray.address is None:
                raise UserError(problem, "Take fewer replicas, or set backend.ray.gpus to what each needs.")
            log.warning("%s Replicas that find no place wait until the cluster has grown.", problem)

    def _start(self) -> Worker:
        import ray

        options = {"num_cpus": self._options.ray.cpus, "num_gpus": self._taken}
        actor = ray.remote(Replica).options(max_restarts=0, max_task_retries=0, **options).remote(self._make)
        return Worker(actor, actor.identity.remote())

    def _hand(self, worker: Worker, chunk: Chunk) -> None:
        worker.chunk = chunk
        worker.reply = worker.actor.answer.options(num_returns="streaming").remote(chunk.requests)

    def _news(self) -> list[Worker]:
        """The workers that have something to say; waits until one has."""
        import ray

        waited = {worker.reply: worker for worker in self._workers if worker.reply is not None}
        done, _ = ray.wait(list(waited), num_returns=1, timeout=PATIENCE, fetch_local=False)
        if not done and not any(worker.ready for worker in self._workers):
            log.warning("no replica has started yet: each waits for %g GPUs and %g CPUs", self._taken, self._cpus)
        return [waited[reply] for reply in done]

    @property
    def _cpus(self) -> float:
        return self._options.ray.cpus

    def _hear(self, worker: Worker, work: Work) -> list[tuple[int, Response]]:
        """What a worker says: who it is, some responses, that its chunk is done, or that it is dead."""
        import ray

        try:
            if not worker.ready:
                self._welcome(worker, ray.get(worker.reply))
                return []
            assert worker.chunk is not None
            try:
                answered: list[tuple[int, Response]] = ray.get(next(worker.reply))
            except StopIteration:
                if left := len(worker.chunk.requests):
                    raise BackendError(f"a replica left {left} requests without an answer") from None
                worker.chunk, worker.reply = None, None
                return []
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, (UserError, BackendError)):
                raise error.cause from None
            raise BackendError(f"a replica failed: {error.cause!r}") from error
        except ray.exceptions.RayError as error:
            self._bury(worker, work, error)
            return []
        for i, _ in answered:
            del worker.chunk.requests[i]
        return answered

    def _welcome(self, worker: Worker, identity: Any) -> None:
        """Take a replica that is ready, if it is the same as we are.

        Raises:
            UserError: it has another model at the same place, or another version of this program.
        """
        if identity.harness != __version__:
            raise UserError(
                f"a replica runs harness {identity.harness}, this is {__version__}.",
                "Install the same version on every node.",
            )
        if identity.fingerprint != self.fingerprint():
            raise UserError(
                "backend.model: a replica's node has other files at that place.",
                "Give every node the same checkpoint, or a hub id with backend.revision.",
            )
        worker.ready, worker.reply = True, None
        self._failed_starts = 0

    def _bury(self, worker: Worker, work: Work, error: Exception) -> None:
        """A replica is dead: another one takes its place, and its chunk is handed out again.

        Raises:
            BackendError: too many died of the same.
        """
        self._died += 1
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        self._workers.remove(worker)
        if worker.chunk is not None:
            work.give_back(worker.chunk)
            if worker.chunk.failures >= TRIES:
                raise BackendError(f"{TRIES} replicas died over the same requests; the last: {first}")
        else:
            self._failed_starts += 1
            if self._failed_starts >= TRIES:
                raise BackendError(f"{TRIES} replicas in a row died before they were ready; the last: {first}")
        left = len(worker.chunk.requests) if worker.chunk is not None else 0
        log.warning("a replica died (%s); its %d unanswered requests are handed out again", first, left)
        self._workers.append(self._start())

    def _drop(self, workers: Sequence[Worker]) -> None:
        """End replicas whose answers nobody wants any more."""
        import ray

        for worker in workers:
            self._workers.remove(worker)
            if ray.is_initialized():
                ray.kill(worker.actor)
