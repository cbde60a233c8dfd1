"""How the gain of packed scoring grows with shots and with choices, and what sizes of packs and threads do.

    python bench/torch_growth.py --data-root FOLDER [--docs 12] [--dtype float32] [--batch-size 8]
                                 [--picture docs/performance.svg]

HellaSwag's docs. The gain is the time of lm-eval's HFLM over ours on the same requests and the same loaded model; the
gain foretold is the ratio of the tokens that each of them computes. More endings than a doc has are those of the docs
after it. Prints the figures as tables and draws them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.plain_pass import plain_speed
from bench.torch_vs_lm_eval import ours, theirs
from harness.backends.torch import TorchBackend, TorchOptions
from harness.plan import Benchmark, Score, Settings, Source, make_plan
from harness.plan.tokens import distinct_tokens
from harness.report.page.charts import VEGA_LITE

SHOTS = (0, 1, 2, 5, 10)
CHOICES = (2, 4, 8, 16)
SHOTS_OF_CHOICES = 2  # shots before the questions whose choices are counted
PACKS = (128, 512, 2048)
THREADS = (1, 2)
SHOTS_OF_PACKS = 10


@dataclass(frozen=True)
class Gain:
    """Both sides on one set of requests."""

    varied: int
    """The number of shots, or of choices."""
    measured: float
    """HFLM's time over ours."""
    foretold: float
    """Tokens that HFLM computes over distinct ones."""


def questions(source: Source, docs: int, shots: int, choices: int = 4) -> list[Score]:
    """HellaSwag's first docs, with so many choices each."""
    benchmark = Benchmark("hellaswag", "HellaSwag", ("hellaswag_text",), shots, "acc_norm", None)
    plan = make_plan((benchmark,), source, Settings(limit=docs), strict=True, named=True)
    asked = [request for request in plan.unique() if isinstance(request, Score)]
    endings = [request.continuations for request in asked]
    return [
        replace(request, continuations=tuple(dict.fromkeys(sum(endings[i:] + endings[:i], ())))[:choices])
        for i, request in enumerate(asked)
    ]


def gain(backend: TorchBackend, asked: Sequence[Score], varied: int, batch_size: int) -> Gain:
    """Both sides, one after the other."""
    began = time.perf_counter()
    ours(backend, asked)
    mine = time.perf_counter() - began
    began = time.perf_counter()
    theirs(backend, asked, batch_size)
    other = time.perf_counter() - began
    encoded = backend.tokenizer().encode(asked)
    each = sum(len(e.context) + len(c) - 1 for e in encoded for c in e.continuations)
    return Gain(varied, other / mine, each / distinct_tokens(encoded))


def speed(options: TorchOptions, asked: Sequence[Score], threads: int) -> float:
    """Distinct tokens a second, the better of two times."""
    backend = TorchBackend(options)
    backend.check()
    tokens = distinct_tokens(backend.tokenizer().encode(asked))
    backend.way  # noqa: B018 - loads the model
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    best = 0.0
    for _ in range(2):
        began = time.perf_counter()
        ours(backend, asked)
        best = max(best, tokens / (time.perf_counter() - began))
    torch.set_num_threads(before)
    return best


def lines(gains: Sequence[Gain], name: str) -> dict[str, Any]:
    """A chart of the gain, measured and foretold."""
    values = [
        {"x": gain.varied, "times": getattr(gain, kind), "kind": kind}
        for gain in gains
        for kind in ("measured", "foretold")
    ]
    return {
        "width": 220,
        "height": 200,
        "data": {"values": values},
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "title": name, "axis": {"values": [g.varied for g in gains]}},
            "y": {"field": "times", "type": "quantitative", "title": "times lm-eval's speed"},
            "color": {
                "field": "kind",
                "title": None,
                "scale": {"domain": ["measured", "foretold"], "range": ["#3366cc", "#999999"]},
                "legend": {"orient": "top-left"},
            },
        },
    }


def bars(speeds: dict[tuple[int, int], float], plain: dict[int, float]) -> dict[str, Any]:
    """A chart of the speed by pack and threads, as a share of the best plain pass through the layers."""
    values = [
        {"pack": str(size), "threads": str(threads), "share": rate / plain[threads], "rate": f"{rate:.0f}/s"}
        for (size, threads), rate in speeds.items()
    ]
    x = {"field": "pack", "type": "nominal", "title": "tokens a pack", "sort": None, "axis": {"labelAngle": 0}}
    at = {"x": x, "xOffset": {"field": "threads"}, "y": {"field": "share", "type": "quantitative"}}
    color = {"field": "threads", "scale": {"range": ["#99bbee", "#3366cc"]}, "legend": {"orient": "top"}}
    share = {"field": "share", "type": "quantitative", "axis": {"format": "%"}, "title": "of plain layers at best"}
    return {
        "width": 220,
        "height": 200,
        "data": {"values": values},
        "layer": [
            {"mark": "bar", "encoding": {**at, "y": share, "color": color}},
            {
                "mark": {"type": "text", "dy": -6, "fontSize": 9},
                "encoding": {**at, "text": {"field": "rate"}},
            },
        ],
    }


def draw(charts: Sequence[dict[str, Any]], file: Path) -> None:
    """The charts side by side, as SVG."""
    import vl_convert

    spec = {"hconcat": list(charts), "resolve": {"scale": {"color": "independent"}}, "background": "white"}
    file.write_text(vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--docs", type=int, default=12)
    parser.add_argument("--pack-docs", type=int, default=50)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    source = Source("mirror", options.data_root)
    chosen = TorchOptions(dtype=options.dtype)
    backend = TorchBackend(chosen)
    backend.check()
    backend.way  # noqa: B018 - loads the model
    groups: dict[str, list[Gain]] = {"shots": [], "choices": []}
    for name, numbers in (("shots", SHOTS), ("choices", CHOICES)):
        print(f"| {name} | times HFLM's speed | foretold |\n|---:|---:|---:|", flush=True)
        for n in numbers:
            asked = questions(source, options.docs, *((n,) if name == "shots" else (SHOTS_OF_CHOICES, n)))
            found = gain(backend, asked, n, options.batch_size)
            groups[name].append(found)
            print(f"| {n} | {found.measured:.1f} | {found.foretold:.1f} |", flush=True)
    asked = questions(source, options.pack_docs, SHOTS_OF_PACKS)
    plain = {}
    for threads in THREADS:
        torch.set_num_threads(threads)
        plain[threads], _ = plain_speed(backend._model.base_model)
    speeds = {}
    print("| tokens a pack | threads | distinct tokens/s | of plain layers |\n|---:|---:|---:|---:|", flush=True)
    for size in PACKS:
        for threads in THREADS:
            speeds[size, threads] = speed(replace(chosen, batch_tokens=size), asked, threads)
            share = speeds[size, threads] / plain[threads]
            print(f"| {size} | {threads} | {speeds[size, threads]:.0f} | {share:.0%} |", flush=True)
    if options.picture:
        gains = [
            lines(groups["shots"], "shots, 4 choices"),
            lines(groups["choices"], f"choices, {SHOTS_OF_CHOICES} shots"),
        ]
        draw([*gains, bars(speeds, plain)], options.picture)


if __name__ == "__main__":
    main()
