"""Loading a transformers checkpoint and its tokenizer."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.backends.torch.checkpoint import Checkpoint, fingerprint
from harness.backends.torch.linear import exchange, widens_bfloat16
from harness.backends.torch.memory import keep_freed
from harness.errors import BackendError, UserError
from harness.paths import cache_dir

DEVICES = "Set backend.device to auto, cpu, cuda or cuda:N."
DTYPES = ("auto", "float32", "bfloat16", "float16")
SMALL = 256 * 2**20  # bytes of a GGUF file whose unpacked weights are kept: a few times as many


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' own progress bars and advice."""
    from transformers.utils import logging as hf_logging

    before = hf_logging.get_verbosity()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(before)


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """The checkpoint's fast tokenizer.

    Raises:
        UserError: the checkpoint has none that transformers can read.
    """
    from transformers import AutoTokenizer

    kept = cache_dir() / "tokenizers" / fingerprint(checkpoint) if checkpoint.gguf else None
    with _quiet():
        try:
            if kept is not None and (kept / "tokenizer.json").is_file():
                return AutoTokenizer.from_pretrained(kept)
            made = AutoTokenizer.from_pretrained(checkpoint.path, **_arguments(checkpoint))
        except (OSError, ValueError, ImportError) as error:
            raise UserError(
                f"backend.model = {checkpoint.path}: its tokenizer cannot be read ({str(error).splitlines()[0]}).",
                "Put tokenizer.json and tokenizer_config.json beside the weights.",
            ) from error
    if kept is not None:
        _keep(made, kept)
    return made


def _keep(made: Any, folder: Path) -> None:
    """Keep a tokenizer or a model: reading it out of a GGUF file takes long, its converted form a second or less."""
    part = folder.with_name(f"{folder.name}.{os.getpid()}")
    try:
        made.save_pretrained(part)
        part.rename(folder)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)  # another process was first, or the home is read-only


def load_model(checkpoint: Checkpoint, dtype: str, device: str) -> Any:
    """The model, in evaluation mode, on its device.

    Raises:
        BackendError: the weights cannot be read.
    """
    from transformers import AutoModelForCausalLM

    dtype = resolve_dtype(checkpoint, dtype, device)
    kept = _kept_weights(checkpoint, dtype)
    found = kept is not None and (kept / "config.json").is_file()
    arguments = {} if found else _arguments(checkpoint)
    if device == "auto":
        arguments["device_map"] = "auto"
    with _quiet():
        try:
            model = AutoModelForCausalLM.from_pretrained(kept if found else checkpoint.path, dtype=dtype, **arguments)
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            logging.getLogger(__name__).debug("loading failed", exc_info=True)
            raise BackendError(f"the model {checkpoint.path} cannot be loaded: {error}") from error
        if checkpoint.gguf and not found:
            _unpacked(model)
            if kept is not None:
                _keep(model, kept)
    if device != "auto":
        model.to(device)
    if device == "cpu":
        exchange(model)
        keep_freed()
    model.eval()
    return model


def _unpacked(model: Any) -> None:
    """Weights from a GGUF file are ordinary ones, but still marked as quantised: such a model refuses to be saved."""
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _kept_weights(checkpoint: Checkpoint, dtype: str) -> Path | None:
    """Where the unpacked weights of a small GGUF file are kept, by content and dtype."""
    if not checkpoint.gguf or (Path(checkpoint.path) / checkpoint.gguf).stat().st_size > SMALL:
        return None
    return cache_dir() / "weights" / f"{fingerprint(checkpoint)}-{dtype}"


def resolve_device(device: str) -> str:
    """``auto`` becomes the GPUs, if there are any (sharded by accelerate), or the CPU.

    Raises:
        UserError: the device is not there, or of a kind that torch does not know.
    """
    import torch

    if device == "auto":
        return "auto" if torch.cuda.device_count() > 1 else "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"backend.device = {device} is not known.", DEVICES) from error
    if kind.type == "cpu" and kind.index is not None:
        raise UserError(f"backend.device = {device}, but there is one CPU.", DEVICES)
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            f"backend.device = {device}, but torch sees no CUDA device.", "Set backend.device to cpu or auto."
        )
    return device


def resolve_dtype(checkpoint: Checkpoint, dtype: str, device: str) -> str:
    """The dtype to load: ``auto`` is the checkpoint's own.

    A quantised GGUF has none: it is opened as bfloat16, or as float32 on processors that multiply it faster.
    """
    if dtype != "auto" or not checkpoint.gguf:
        return dtype
    return "float32" if widens_bfloat16(device) else "bfloat16"


def _arguments(checkpoint: Checkpoint) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if checkpoint.gguf:
        arguments["gguf_file"] = checkpoint.gguf
    if checkpoint.revision:
        arguments["revision"] = checkpoint.revision
    return arguments


def matmul_flops(dtype: str, device: str) -> float:
    """Floating-point operations a second of a square matrix product, measured for a moment."""
    import time

    import torch

    n = 512
    kind = torch.bfloat16 if dtype == "auto" else getattr(torch, dtype)
    if kind is torch.bfloat16 and widens_bfloat16(device):
        kind = torch.float32  # as the linear layers then multiply, see linear.py
    a = torch.ones((n, n), dtype=kind, device="cuda" if device == "auto" else device)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        (a @ a).sum().item()
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best
