"""In which order docs are asked when not all may be needed: at random within a task, every task in step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.plan.shots import stream


def stratified(docs: Mapping[str, Sequence[str]], seed: int) -> list[tuple[str, int]]:
    """All docs as (task, place in the task), such that each beginning has the same share of every task.

    Within a task the order is by a draw from each doc's own random stream, so it depends on (seed, task, doc id) alone.

    Args:
        docs: the doc ids of each task.
        seed: of the draws.
    """
    keyed = []
    for number, (task, ids) in enumerate(docs.items()):
        drawn = sorted(range(len(ids)), key=lambda i: (stream(seed, f"order of {task}", ids[i]).random(), i))
        keyed += [((rank + 0.5) / len(ids), number, task, place) for rank, place in enumerate(drawn)]
    return [(task, place) for _, _, task, place in sorted(keyed)]
