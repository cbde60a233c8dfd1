"""Frames between the harness and the agent: eight bytes of length, then JSON."""

from __future__ import annotations

import json
import os
from typing import Any

LARGEST_FRAME = 512 << 20
"""A longer frame (bytes) is refused: a program must not fill the memory of the one who reads its answers."""


class Broken(Exception):
    """The other end went away, or sent what is not a frame."""


def write_frame(fd: int, message: Any) -> None:
    """Write one message; raises `Broken` where nobody reads any more."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    view = memoryview(len(body).to_bytes(8, "big") + body)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        raise Broken(str(error)) from error


def read_frame(fd: int) -> Any:
    """Read one message; raises `Broken` at the end of the stream and on a malformed frame."""
    length = int.from_bytes(_exactly(fd, 8), "big")
    if length > LARGEST_FRAME:
        raise Broken(f"a frame of {length} bytes")
    return parse(_exactly(fd, length))


def parse(body: bytes) -> Any:
    """The message in a frame's body; raises `Broken` where it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Broken(f"not a message: {error}") from error


def _exactly(fd: int, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        try:
            part = os.read(fd, min(size - len(parts), 1 << 20))
        except OSError as error:
            raise Broken(str(error)) from error
        if not part:
            raise Broken("end of stream")
        parts += part
    return bytes(parts)
