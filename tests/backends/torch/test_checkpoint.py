"""Where a model is: by the hub's names, whose commit is the hub's or that of the local cache, or in files."""

from __future__ import annotations

from pathlib import Path

import httpx2
import huggingface_hub
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled

from harness.backends.torch.checkpoint import fingerprint, locate
from harness.errors import UserError

UNREACHABLE = [httpx2.ConnectError("no network"), httpx2.ReadTimeout("slow"), OfflineModeIsEnabled("offline")]


@pytest.fixture(params=UNREACHABLE, ids=lambda error: type(error).__name__)
def no_hub(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise request.param

    monkeypatch.setattr(huggingface_hub, "model_info", fail)


@pytest.mark.usefixtures("no_hub")
def test_a_hub_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    with pytest.raises(UserError, match=r"backend\.model = some/model, which is neither") as caught:
        fingerprint(locate("some/model", None))
    assert "network" in caught.value.remedy


@pytest.mark.usefixtures("no_hub")
def test_the_cache_stands_in_for_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {commit: str(tmp_path / commit / "config.json") for commit in ("abc", "def")}
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, revision: found[revision])
    first, second = (fingerprint(locate("some/model", commit)) for commit in found)
    assert first != second


@pytest.mark.parametrize(("content", "problem"), [(b"", "empty"), (b"<html>", "not a GGUF file")])
def test_a_file_that_is_no_gguf_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    for model in (path, tmp_path):  # a folder with one such file is the same
        with pytest.raises(UserError, match=rf"model\.gguf, which is {problem}\."):
            locate(str(model), None)
    path.write_bytes(b"GGUF and more")
    assert locate(str(path), None).gguf == locate(str(tmp_path), None).gguf == "model.gguf"
