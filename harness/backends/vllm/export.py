"""The embedded model as an ordinary checkpoint folder, which vLLM can read; made once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness.backends.torch import loading
from harness.backends.torch.checkpoint import Checkpoint, fingerprint
from harness.paths import cache_dir


def exported(checkpoint: Checkpoint) -> Path:
    """A folder with a GGUF checkpoint's weights in float32 and its tokenizer.

    Raises:
        BackendError: the weights cannot be read.
    """
    folder = cache_dir() / "checkpoints" / fingerprint(checkpoint) / checkpoint.name
    if (folder / "tokenizer.json").is_file():
        return folder
    part = folder.with_name(f"{folder.name}.{os.getpid()}")
    model = loading.load_model(checkpoint, "float32", "cpu")
    try:
        model.save_pretrained(part)
        loading.load_tokenizer(checkpoint).save_pretrained(part)
        part.rename(folder)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        if not (folder / "tokenizer.json").is_file():  # else another process was first
            raise
    return folder
