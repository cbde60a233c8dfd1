"""Requests a second over HTTP: us and lm-eval's ``local-completions``, in turns, against one loopback server.

    pip install tenacity        # of lm-eval's api extra
    python bench/api_vs_lm_eval.py [--rounds 3] [--latency 0.05] [--memory]

The server answers every completion after a fixed time, from a process of its own. Each side runs in another process
and is given the same prompts; the best round of each counts. Ours keeps every answer in a store, as in a run. In the
last row our client is spread over processes. With ``--memory``, two hundred thousand requests go through our client
instead, and its memory is read on the way.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# requests in flight (0: nothing configured) and requests asked: some seconds each
CASES = {0: 4000, 8: 800, 64: 6400, 256: 8000}
THEIR_DEFAULT = 60
SPREAD, SPREAD_N = 2, 24_000  # processes, and requests that they share: starting them takes a second
WORDS = "word " * 100


def serve(latency: float) -> None:
    """Answer until the process ends; the port is the first line printed."""
    from aiohttp import web

    answer = {"text": " The answer is 42.", "index": 0, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 110, "completion_tokens": 6, "total_tokens": 116}
    reply = json.dumps({"id": "c", "object": "text_completion", "model": "m", "choices": [answer], "usage": usage})

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(latency)
        return web.Response(text=reply, content_type="application/json")

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/v1/completions", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())


def ours(base_url: str, concurrency: int, n: int, processes: int = 1) -> float:
    from harness.backends.openai import OpenAIBackend, OpenAIOptions
    from harness.backends.openai.found import Found
    from harness.collect import Store, collect
    from harness.plan import Generate

    options = OpenAIOptions(base_url=base_url, model="m", concurrency=concurrency or None, processes=processes)
    backend = OpenAIBackend(options)
    backend.found = Found(plain=True)
    requests = [Generate("", f"Question {i}: {WORDS}", ("\n\n",), 64) for i in range(n)]
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        start = time.perf_counter()
        collected = collect(requests, backend, store)
        seconds = time.perf_counter() - start
    assert len(collected.responses) == n
    return seconds


def theirs(base_url: str, concurrency: int, n: int) -> float:
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    logging.disable(logging.WARNING)
    more = {"num_concurrent": concurrency} if concurrency else {}
    model = LocalCompletionsAPI(
        base_url=f"{base_url}/completions", model="m", tokenizer_backend=None, tokenized_requests=False, **more
    )
    options = {"until": ["\n\n"], "max_gen_toks": 64, "do_sample": False}
    requests = [
        Instance("generate_until", {}, (f"Question {i}: {WORDS}", dict(options)), i, metadata=("t", i, 1))
        for i in range(n)
    ]
    start = time.perf_counter()
    answers = model.generate_until(requests, disable_tqdm=True)
    seconds = time.perf_counter() - start
    assert len(answers) == n
    return seconds


def memory(base_url: str, n: int = 200_000) -> None:
    import psutil

    from harness.backends.openai import OpenAIBackend, OpenAIOptions
    from harness.backends.openai.found import Found
    from harness.collect import Budget
    from harness.plan import Generate, Request

    backend = OpenAIBackend(OpenAIOptions(base_url=base_url, model="m"))
    backend.found = Found(plain=True)

    def requests() -> Iterator[Request]:
        return (Generate("", f"Question {i}: {WORDS}", ("\n\n",), 64) for i in range(n))

    process, done, start = psutil.Process(), 0, time.perf_counter()
    for batch in backend.answer_within(requests(), Budget(None)):
        before, done = done, done + len(batch)
        if before // 20_000 < done // 20_000:
            print(f"{done:,} answered, {process.memory_info().rss / 2**20:.1f} MiB, "
                  f"{done / (time.perf_counter() - start):,.0f} a second", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=["ours", "spread", "theirs", "memory"], help=argparse.SUPPRESS)
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.latency)
    elif options.side == "memory":
        memory(options.case[0])
    elif options.side:
        url, concurrency, n = options.case
        sides: dict[str, Callable[[str, int, int], float]] = {
            "ours": ours,
            "theirs": theirs,
            "spread": functools.partial(ours, processes=SPREAD),
        }
        print(sides[options.side](url, int(concurrency), int(n)))
    else:
        measure(options.rounds, options.latency, only_memory=options.memory)


def measure(rounds: int, latency: float, *, only_memory: bool) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "TQDM_DISABLE": "1"}
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve", "--latency", str(latency)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"

        def side(which: str, concurrency: int, n: int) -> float:
            command = [sys.executable, __file__, "--side", which, "--case", url, str(concurrency), str(n)]
            done = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
            )
            return float(done.stdout.split()[-1])

        if only_memory:
            subprocess.run([sys.executable, __file__, "--side", "memory", "--case", url, "0", "0"], env=environment)
            return
        print("| in flight | requests | ours, s | requests/s | times N x latency / in flight | lm-eval, requests/s |")
        print("|---|---:|---:|---:|---:|---:|")
        for concurrency, n in CASES.items():
            m = n if concurrency else THEIR_DEFAULT
            pairs = [(side("ours", concurrency, n), side("theirs", concurrency, m)) for _ in range(rounds)]
            best, other = min(a for a, _ in pairs), min(b for _, b in pairs)
            ideal = f"{best / (n * latency / concurrency):.2f}" if concurrency else ""
            name = concurrency or "not configured"
            print(f"| {name} | {n:,} | {best:.2f} | {n / best:,.0f} | {ideal} | {m / other:,.0f} |", flush=True)
        more = SPREAD_N
        best = min(side("spread", concurrency, more) for _ in range(rounds))
        print(f"| {concurrency}, {SPREAD} processes | {more:,} | {best:.2f} | {more / best:,.0f} | | |", flush=True)
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
