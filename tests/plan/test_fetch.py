"""A mirror written from the hub, which is a cache of its own here: no network is used."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.cli import main
from harness.config import load
from harness.paths import tasks_dir
from harness.plan import Source, make_plan
from harness.plan.data import CONVERTED
from harness.plan.fetch import fetch

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache on this machine, empty, with no way to the hub itself."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


def publish(hub: Path, repo: str, content: Path, revision: str = "main") -> None:
    """Put a folder on the hub."""
    home = hub / f"datasets--{repo.replace('/', '--')}"
    shutil.copytree(content, home / "snapshots" / COMMIT, dirs_exist_ok=True)
    reference = home / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(COMMIT, encoding="utf-8")


def sample(repo: str) -> Path:
    return next(tasks_dir().glob(f"*/sample/{repo}"))


def requests(data: list[str], benchmarks: str = "winogrande,arc_c") -> list[str]:
    config = load([f"benchmarks=[{benchmarks}]", *data])
    plan = make_plan(config.benchmarks, config.source, config.settings, strict=True, named=True)
    return [request.hash for request in plan.requests]


def test_a_fetched_mirror_asks_what_the_hub_asks(hub: Path, tmp_path: Path) -> None:
    for repo in ("allenai/winogrande", "allenai/ai2_arc"):
        publish(hub, repo, sample(repo))
    target = tmp_path / "mirror"
    done = list(fetch(load(["benchmarks=[winogrande,arc_c]", "data=hub"]).benchmarks, target))
    assert [(d.benchmark, d.repos, d.missing) for d in done] == [
        ("winogrande", ("allenai/winogrande",), None),
        ("arc_c", ("allenai/ai2_arc",), None),
    ]
    assert (target / "allenai/winogrande/README.md").is_file()
    assert requests(["data=mirror", f"data.root={target}"]) == requests(["data=hub"])


def test_tables_that_a_task_names_are_fetched_with_their_folders(hub: Path, tmp_path: Path) -> None:
    repos = [path.name for path in tasks_dir().glob("mmmlu/sample/FreedomIntelligence/*")]
    for name in repos:
        publish(hub, f"FreedomIntelligence/{name}", sample(f"FreedomIntelligence/{name}"))
    target = tmp_path / "mirror"
    (done,) = fetch(load(["benchmarks=[mmmlu]", "data=hub"]).benchmarks, target)
    assert done.missing is None
    assert len(done.repos) == 8
    copied = requests(["data=mirror", f"data.root={target}"], "mmmlu")
    assert copied == requests(["data=hub"], "mmmlu")
    assert len(copied) == 32


def test_a_repository_with_a_script_is_read_from_the_hubs_conversion(hub: Path, tmp_path: Path) -> None:
    repo = "org/scripted"
    script = tmp_path / "script"
    script.mkdir()
    (script / "scripted.py").write_text("raise RuntimeError('a script must not run')\n", encoding="utf-8")
    converted = tmp_path / "converted"
    (converted / "one" / "test").mkdir(parents=True)
    from datasets import Dataset

    Dataset.from_list([{"x": 1}, {"x": 2}]).to_parquet(converted / "one" / "test" / "0000.parquet")
    publish(hub, repo, script)
    home = hub / "datasets--org--scripted"
    other = COMMIT[::-1]
    shutil.copytree(converted, home / "snapshots" / other)
    (home / "refs" / CONVERTED).parent.mkdir(parents=True, exist_ok=True)
    (home / "refs" / CONVERTED).write_text(other, encoding="utf-8")
    source = Source("hub")
    assert list(source.load(repo, "one")["test"]["x"]) == [1, 2]
    assert set(source.read[repo, "one"].sha256) == {"test"}


def test_the_command_says_what_is_missing_and_how_to_use_the_rest(
    hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(hub, "openai/gsm8k", sample("openai/gsm8k"))
    target = tmp_path / "mirror"
    with pytest.raises(SystemExit) as done:
        main(["data", "fetch", "math", "--to", str(target)])
    assert done.value.code == 2
    out = capsys.readouterr()
    assert f"gsm8k: openai/gsm8k\nmath: nothing\ndata=mirror data.root={target}\n" == out.out
    assert "math is incomplete: data = hub, but EleutherAI/hendrycks_math is not in the hub's cache" in out.err


def test_a_file_that_is_there_is_not_copied_again(hub: Path, tmp_path: Path) -> None:
    publish(hub, "allenai/winogrande", sample("allenai/winogrande"))
    chosen = load(["benchmarks=[winogrande]", "data=hub"]).benchmarks
    list(fetch(chosen, tmp_path / "mirror"))
    files = sorted((tmp_path / "mirror").rglob("*.jsonl"))
    before = [file.stat().st_mtime_ns for file in files]
    list(fetch(chosen, tmp_path / "mirror"))
    assert [file.stat().st_mtime_ns for file in files] == before
    assert len(files) == 2
