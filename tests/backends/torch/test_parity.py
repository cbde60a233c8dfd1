"""The embedded model by this backend and by lm-eval's HFLM: the same numbers and the same texts, in float32."""

import importlib.util
from pathlib import Path
from types import ModuleType

from harness.paths import project_root
from harness.plan import Source


def _bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("torch_parity", project_root() / "bench" / "torch_parity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _agree(source: Source) -> None:
    for row in _bench().compare(source, docs=4, max_tokens=24):
        assert row.requests == 4
        assert row.largest < 1e-3
        assert row.same == 1.0


def test_sample_docs() -> None:
    _agree(Source("sample"))


def test_real_docs(real_hub: Path) -> None:
    _agree(Source("mirror", real_hub))
