"""The same weights behind an HTTP API and in the torch backend: scores, verdicts and texts side by side.

    python bench/api_agreement.py --data-root FOLDER [--docs 200] [--new-tokens 256] [--to results/agreement]

llama.cpp's own server (package xllamacpp) and the torch backend in float32 both read the embedded 4-bit file. GSM8K
4-shot in plain prompts and HumanEval as a conversation, greedy. llama.cpp multiplies in 8 bits, so that texts part
ways sooner or later: what is compared is whether the scores differ by more than chance (McNemar's exact test on the
docs that one of the two solves).
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.compare import compare
from harness.config import load
from harness.run import evaluate
from tests.backends.openai import llama_server

# the small model, tuned to converse, answers most of HumanEval's plain prompts with nothing
FORMS = {"gsm8k": "false", "humaneval": "true"}


def shared_start(first: str, second: str) -> float:
    """How much of the shorter text both begin with, as a share; neither is empty."""
    alike = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
    return alike / min(len(first), len(second))


def samples(folder: Path, benchmark: str) -> pd.DataFrame:
    """All samples of a benchmark, by task and doc."""
    tables = [pd.read_parquet(file) for file in sorted((folder / "samples").glob(f"{benchmark}*.parquet"))]
    return pd.concat(tables).set_index(["task", "doc_id"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--docs", type=int, default=200)
    parser.add_argument("--new-tokens", type=int, default=256)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--port", type=int, default=0, help="of the server; a run started again needs the same one")
    parser.add_argument("--to", type=Path, default=Path("results/agreement"))
    options = parser.parse_args()
    with llama_server.serving(options.threads, slots=4, context=2048, port=options.port) as url:
        server = ["backend=local_server", f"backend.base_url={url}", "backend.model=SmolLM2-135M-Instruct"]
        over_http = {name: evaluate(load([*asked(name, options), *server, f"run.name={name}_http"])) for name in FORMS}
    for name, http in over_http.items():
        torch = ["backend=torch", "backend.dtype=float32", f"run.name={name}_torch"]
        report(evaluate(load([*asked(name, options), *torch])), http)


def asked(name: str, options: argparse.Namespace) -> list[str]:
    """What both sides are configured with for a benchmark."""
    return [
        f"benchmarks=[{name}]", f"prompt.chat={FORMS[name]}", "data=mirror", f"data.root={options.data_root}",
        f"limit={options.docs}", f"generation.max_tokens={options.new_tokens}", f"run.dir={options.to}",
    ]  # fmt: skip


def report(beside: Path, over_http: Path) -> None:
    """Print how the two runs of a benchmark agree."""
    pair = compare([beside, over_http], force=True).pairs[0]
    for line in pair.differs:
        print(f"protocol: {line}")
    (row,) = pair.rows
    both = samples(beside, row.row).join(samples(over_http, row.row).add_suffix("_http"))
    texts = list(zip(both.raw, both.raw_http, strict=True))
    told = [pair for pair in texts if all(pair)]
    start = statistics.mean(shared_start(*pair) for pair in told)
    same = 1 - ((row.gained or 0) + (row.lost or 0)) / row.n
    print(f"{row.title}: {row.n} docs, torch {row.first:.1f}, llama.cpp {row.second:.1f}, {row.verdict}")
    print(f"  verdicts equal on {same:.1%} ({row.lost} lost, {row.gained} gained, {row.test} p = {row.p:.3f})")
    print(f"  texts equal on {statistics.mean(one == two for one, two in texts):.1%}; ", end="")
    print(f"on average they begin alike for {start:.0%} of the shorter one; {len(texts) - len(told)} pairs left out,")
    print(f"  {texts.count(('', ''))} of which have two empty texts and the others one")


if __name__ == "__main__":
    main()
