"""Attention of a pack: each token attends to its own ancestors only, on the path kept before and in the pack.

The model is a transformers model as it is: its attention function is exchanged for ``attend`` below, which gets the
``Step`` through the keyword arguments of the forward call. Keys and values are kept here, not in a transformers cache.

Four ways, the same results:

- ``tiles``, on CPU: what neighbouring queries have in common on the path by a few dense tiles, the other keys of some
  queries at a time by a masked one; the parts are joined by their log-sum-exps, as in FlashAttention (Dao et al. 2022,
  section 3.1).
- ``strips``, on CPUs with AVX-512's instructions for bfloat16: some queries at a time, all of their keys side by side,
  in one product, a masked softmax and another product. Torch's flash attention leaves these instructions unused, and
  takes up to twice as long; on the other hand scores are rounded to bfloat16 here, as in transformers' eager attention.
- ``flex``, on CUDA: FlexAttention with a block mask, compiled; fully masked blocks are skipped.
- ``mask``: scaled dot-product attention with a dense mask; where the others cannot run.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.backends.torch.packing import Bools, Pack, Strip, strips, tiles
from harness.backends.torch.trie import Ints

if TYPE_CHECKING:
    import torch

    from harness.backends.torch.turn import Turn

NAME = "harness_tree"
WAYS = ("tiles", "strips", "flex", "mask")


@contextlib.contextmanager
def exchanged(model: Any) -> Iterator[None]:
    """Let the model call :func:`attend` for a while; it makes no masks, since none is registered under our name."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    own = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(own)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    step: Step | Turn | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """An attention function of transformers; query (1, heads, tokens, size), the result (1, tokens, heads, size)."""
    unknown = [name for name in ("softcap", "s_aux", "position_bias") if kwargs.get(name) is not None]
    if step is None or unknown:
        raise NotImplementedError(f"packed attention without a step, or with {unknown}")
    out = step.attend(int(module.layer_idx), query, key, value, scaling, sliding_window)  # type: ignore[arg-type]
    return out.transpose(1, 2).contiguous(), None


@dataclass
class Path:
    """Keys and values of the ancestors of the next token: all the cache there is."""

    capacity: int
    """The most tokens it must hold."""
    keys: dict[int, torch.Tensor] = field(default_factory=dict)
    """By layer: (1, key heads, capacity, size), on the layer's device."""
    values: dict[int, torch.Tensor] = field(default_factory=dict)
    """By layer, as the keys."""

    def write(self, layer: int, at: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Put keys and values of a layer behind its first ``at`` tokens."""
        if layer not in self.keys:
            # both or none, if memory runs out
            made = [t.new_empty((*t.shape[:2], self.capacity, t.shape[3])) for t in (keys, values)]
            self.keys[layer], self.values[layer] = made
        stop = at + keys.shape[2]
        self.keys[layer][:, :, at:stop] = keys
        self.values[layer][:, :, at:stop] = values


@dataclass
class Kept:
    """Keys and values of a stretch of tokens."""

    keys: dict[int, torch.Tensor] = field(default_factory=dict)
    """By layer: (key heads, tokens, size), on the layer's device."""
    values: dict[int, torch.Tensor] = field(default_factory=dict)
    """By layer, as the keys."""


class Step:
    """One pack on its way through the model."""

    def __init__(self, pack: Pack, path: Path, way: str, whole: bool = False) -> None:
        self.pack = pack
        self.path = path
        self.way = way
        self._whole: dict[int, tuple[torch.Tensor, torch.Tensor]] | None = {} if whole else None
        self._kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._longest = int(pack.positions.max()) + 1
        self._strips: list[Strip] = list(strips(pack)) if way in ("tiles", "strips") else []
        self._tiles = list(tiles(self._strips)) if way == "tiles" else []
        self._made: dict[tuple[Any, ...], Any] = {}

    def commit(self) -> None:
        """Move the path on to the token after the pack. Not before all layers are through: a pass may be repeated."""
        for layer, (keys, values) in self._kept.items():
            self.path.write(layer, self.pack.keep_path, keys, values)

    def lineage(self, index: int, start: int) -> Kept:
        """Keys and values of a token of the pack and its ancestors, from depth ``start`` on. Not after ``commit``."""
        import torch

        assert self._whole is not None
        shared = int(self.pack.shared[index])
        inside = np.flatnonzero(self.pack.over[: index + 1] > index)[max(0, start - shared) :]
        kept = Kept()
        for layer, pair in self._whole.items():
            rows = torch.from_numpy(inside).to(pair[0].device)
            before = self.path.keys.get(layer), self.path.values.get(layer)
            for target, old, new in zip((kept.keys, kept.values), before, pair, strict=True):
                part = new[0].index_select(1, rows)
                target[layer] = torch.cat([old[0, :, start:shared], part], 1) if old is not None else part
        return kept

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float | None,
        window: int | None,
    ) -> torch.Tensor:
        """What each token of the pack gathers in this layer: (1, heads, tokens, size)."""
        if self._whole is not None:
            self._whole[layer] = key, value
        keep = self._indices("keep", self.pack.keep, key.device)
        self._kept[layer] = key.index_select(2, keep), value.index_select(2, keep)
        if window is not None and self._longest <= window:
            window = None
        # a window that matters cuts through them
        if self._strips and window is None:
            ways = {"tiles": self._in_tiles, "strips": self._in_strips}
            return ways[self.way](layer, query, key, value, scaling)
        n = self.pack.path
        if n:
            key = _cat(self.path.keys[layer][:, :, :n], key)
            value = _cat(self.path.values[layer][:, :, :n], value)
        if self.way == "flex":
            return self._flex(query, key, value, scaling, window)
        return self._masked(query, key, value, scaling, window)

    # tiles and strips

    def _in_tiles(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        out, repeat = Joined(query, scaling), query.shape[1] // key.shape[1]

        def mask(strip: Strip) -> torch.Tensor:
            return additive(np.tile(strip.seen_after(strip.dense), (repeat, 1)), query)[None, None]

        for strip in self._strips:
            part = slice(strip.start, strip.stop)
            hidden = self._once(("mask", strip.start, query.device), lambda s=strip: None if s.is_chain else mask(s))
            out.first(part, *self._keys(layer, strip, strip.dense, key, value), hidden)
            if strip.dense > strip.path:
                rows = self._rows(("dense", strip.start), strip.inside[: strip.dense - strip.path], key.device)
                out.more(part, key[:, :, rows], value[:, :, rows])
        for tile in self._tiles:
            keys, values = self.path.keys[layer], self.path.values[layer]
            out.more(slice(tile.start, tile.stop), keys[:, :, : tile.keys], values[:, :, : tile.keys])
        return out.out

    def _in_strips(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        import torch

        (_, heads, _, size), groups = query.shape, key.shape[1]
        out = query.new_empty(query.shape)
        scaled = query * (size**-0.5 if scaling is None else scaling)
        for strip in self._strips:
            n, part = strip.stop - strip.start, slice(strip.start, strip.stop)
            hidden = self._once(("hidden", strip.start, query.device), lambda s=strip: additive(s.seen, query))
            keys, values = self._keys(layer, strip, 0, key, value)
            scores = torch.matmul(_fold(scaled[:, :, part], groups)[0], keys[0].transpose(1, 2))
            scores.view(heads, n, -1)[:, :, strip.free :] += hidden
            torch.softmax(scores, -1, out=scores)
            out[0, :, part] = torch.matmul(scores, values[0]).view(heads, n, size)
        return out

    def _keys(
        self, layer: int, strip: Strip, first: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of a strip, without the first ones."""
        inside = strip.inside[max(0, first - strip.path) :]
        rows = self._rows(("keys", strip.start), inside, key.device)
        keys, values = key[:, :, rows], value[:, :, rows]
        if strip.path > first:
            keys = _cat(self.path.keys[layer][:, :, first : strip.path], keys)
            values = _cat(self.path.values[layer][:, :, first : strip.path], values)
        return keys, values

    def _rows(self, key: Any, values: Ints, device: torch.device) -> slice | torch.Tensor:
        """What selects some tokens of the pack; nothing is copied where they are neighbours."""
        if values[-1] - values[0] == len(values) - 1:
            return slice(int(values[0]), int(values[-1]) + 1)
        return self._indices(key, values, device)

    # dense masks

    def _masked(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, window: int | None
    ) -> torch.Tensor:
        import torch

        def visible() -> torch.Tensor:
            begins, ends, places = self._intervals(query.device)
            rows = torch.arange(len(self.pack), device=query.device)[:, None]
            seen = (begins <= rows) & (rows < ends)
            return seen & (places[self.pack.path :, None] - places < window) if window else seen

        mask = self._once(("mask", window, query.device), visible)
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask[None, None], scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
        )

    def _flex(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, window: int | None
    ) -> torch.Tensor:
        from torch.nn.attention.flex_attention import create_block_mask

        def block_mask() -> Any:
            begins, ends, places = self._intervals(query.device)
            own = places[self.pack.path :]

            def visible(_b: Any, _h: Any, q: Any, k: Any) -> Any:
                seen = (begins[k] <= q) & (q < ends[k])
                return seen & (own[q] - places[k] < window) if window else seen

            sizes = (query.shape[2], key.shape[2])
            return create_block_mask(visible, B=None, H=None, Q_LEN=sizes[0], KV_LEN=sizes[1], device=query.device)

        mask = self._once(("flex", window, query.device), block_mask)
        gqa = query.shape[1] != key.shape[1]
        out: torch.Tensor = flex_function(query.device.type)(
            query, key, value, block_mask=mask, scale=scaling, enable_gqa=gqa
        )
        return out

    def _intervals(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For each key, the path first: the queries that see it (begin, end), and its position."""
        import torch

        n = self.pack.path
        begins = torch.cat([torch.zeros(n, dtype=torch.long), torch.arange(len(self.pack))])
        ends = torch.from_numpy(self.pack.key_ends())
        places = torch.cat([torch.arange(n), torch.from_numpy(self.pack.positions)])
        return begins.to(device), ends.to(device), places.to(device)

    # what all layers of a pass share

    def _once(self, key: tuple[Any, ...], make: Any) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _indices(self, key: Any, values: Any, device: torch.device) -> torch.Tensor:
        import torch

        made: torch.Tensor = self._once((key, device), lambda: torch.from_numpy(values).to(device))
        return made


class Joined:
    """Attention put together from parts with different keys."""

    def __init__(self, query: torch.Tensor, scaling: float | None) -> None:
        self.out = query.new_empty(query.shape)
        self._query = query
        self._scaling = scaling
        self._lse = query.new_empty(query.shape[:3]).float()

    def first(self, part: slice, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None) -> None:
        """The queries of ``part`` over some keys, with a mask for folded queries, or over their own keys, causal."""
        if mask is None:
            repeat = self._query.shape[1] // key.shape[1]
            key, value = key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1)
            found = flash(self._query[:, :, part], key, value, self._scaling, causal=True)
        else:
            found = self._over(part, key, value, mask)
        self.out[:, :, part], self._lse[:, :, part] = found

    def more(self, part: slice, key: torch.Tensor, value: torch.Tensor) -> None:
        """The queries of ``part`` also attend to all of these keys."""
        out, lse = self._over(part, key, value, None)
        share = (lse - self._lse[:, :, part]).sigmoid()
        self.out[:, :, part].lerp_(out, share[..., None].to(out.dtype))
        self._lse[:, :, part] = lse.logaddexp(self._lse[:, :, part])

    def _over(
        self, part: slice, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        query = self._query[:, :, part]
        out, lse = flash(_fold(query, key.shape[1]), key, value, self._scaling, mask)
        return out.reshape(query.shape), lse.reshape(query.shape[:3])


def _fold(query: torch.Tensor, groups: int) -> torch.Tensor:
    """Queries (1, heads, n, size) by key head (1, groups, heads / groups · n, size): the heads that share a key head
    become more queries of that head, so that no key is copied."""
    return query.reshape(1, groups, query.shape[1] // groups * query.shape[2], query.shape[3])


def flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    mask: torch.Tensor | None = None,
    causal: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention and, for each query, the log-sum-exp of its scores."""
    import torch

    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, causal, attn_mask=mask, scale=scaling
    )
    return out, lse


def additive(seen: Bools, like: torch.Tensor) -> torch.Tensor:
    """0 where something is seen, the lowest number elsewhere; added to scores."""
    import torch

    mask = torch.zeros(seen.shape, dtype=like.dtype, device=like.device)
    return mask.masked_fill_(torch.from_numpy(~seen).to(like.device), torch.finfo(like.dtype).min)


def _cat(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Tokens of both, one after another."""
    import torch

    return torch.cat([first, second], dim=2)


@functools.cache
def flex_function(device: str) -> Any:
    """FlexAttention; compiled on CUDA, where it would otherwise hold the whole matrix of scores."""
    import torch
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True) if device == "cuda" else flex_attention
