"""Names that a user may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """A remedy that names the nearest of the known names, or lists some when none is near."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=most, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"Known: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}."
