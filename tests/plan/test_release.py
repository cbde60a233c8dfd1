"""Files released outside of the hub: fetched once, checked, kept; the server here is a local one."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.config import load
from harness.errors import MissingError
from harness.paths import tasks_dir
from harness.plan import Source, make_plan
from harness.plan.fetch import fetch
from harness.plan.release import Release, fetch_release

ROWS = [{"id": 1, "mixed": [1, "a", [None]]}, {"id": 2, "mixed": "\u2028"}]
TEXT = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


class Server(http.server.ThreadingHTTPServer):
    """Serves one content, and counts how often it was asked for."""

    content = gzip.compress(TEXT.encode())
    asked = 0


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(200 if self.path == "/set.jsonl.gz" else 404)
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Server(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()


def release(server: Server, file: str = "set.jsonl.gz") -> Release:
    url = f"http://127.0.0.1:{server.server_port}/{file}"
    return Release("org/set.jsonl.gz", url, hashlib.sha256(TEXT.encode()).hexdigest())


def test_a_file_is_downloaded_once_and_stands_in_the_receipt(server: Server) -> None:
    source = Source("hub")
    assert source.rows(release(server)) == ROWS
    assert source.rows(release(server)) == ROWS
    assert server.asked == 1
    repo = source.read["org/set.jsonl.gz", "release"]
    assert repo.complete
    assert repo.sha256 == {"all": hashlib.sha256(TEXT.encode()).hexdigest()}


def test_another_compression_of_the_same_text_is_the_same_file(server: Server) -> None:
    server.content = gzip.compress(TEXT.encode(), 1)
    assert Source("hub").rows(release(server)) == ROWS


@pytest.mark.parametrize(
    "content",
    [gzip.compress(b"{}"), b"<html>no such file</html>", gzip.compress(b"{}")[:-6]],
    ids=["another", "not-compressed", "cut"],
)
def test_what_is_not_the_published_file_is_refused_and_not_kept(server: Server, content: bytes) -> None:
    server.content = content
    with pytest.raises(MissingError, match=r"set\.jsonl\.gz is (no gzip file|not the file that was published)"):
        fetch_release(release(server))
    server.content = Server.content
    assert fetch_release(release(server)).is_file()


def test_a_server_that_cannot_be_reached_or_has_no_file_is_named_with_the_remedy(server: Server) -> None:
    with pytest.raises(MissingError, match=r"org/set\.jsonl\.gz cannot be downloaded: HTTP Error 404") as found:
        fetch_release(release(server, "gone.jsonl.gz"))
    assert "data=mirror" in found.value.remedy
    gone = Release("org/set.jsonl.gz", "http://127.0.0.1:9/set.jsonl.gz", "")
    with pytest.raises(MissingError, match="cannot be downloaded"):
        fetch_release(gone)


@pytest.mark.parametrize("name", ["set.jsonl.gz", "set.jsonl"])
def test_a_mirror_holds_the_file_compressed_or_not(server: Server, tmp_path: Path, name: str) -> None:
    source = Source("mirror", tmp_path)
    with pytest.raises(MissingError, match=r"data\.root = .* has no file org/set\.jsonl\.gz"):
        source.rows(release(server))
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / name).write_bytes(server.content if name.endswith(".gz") else TEXT.encode())
    assert source.rows(release(server)) == ROWS
    assert server.asked == 0


def test_a_file_without_sample_docs_is_named(server: Server) -> None:
    with pytest.raises(MissingError, match="no sample docs of org/set"):
        Source("sample").rows(release(server))


def test_a_fetched_mirror_has_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = load(["benchmarks=[mbpp]", "data=sample"])
    done = list(fetch(chosen.benchmarks, tmp_path, Source("sample")))
    assert [(d.repos, d.missing) for d in done] == [(("evalplus/MbppPlus-v0.1.0.jsonl.gz",), None)]

    def asked(source: Source) -> list[str]:
        made = make_plan(chosen.benchmarks, source, chosen.settings, strict=True, named=True)
        return [request.hash for request in made.requests]

    # sample docs in a mirror do not pass for the published file
    with pytest.raises(MissingError, match="not the file that was published"):
        asked(Source("mirror", tmp_path))
    # had they been published, the mirror would ask the same
    sample = tasks_dir() / "mbpp" / "sample" / "evalplus" / "MbppPlus-v0.1.0.jsonl"
    digest = hashlib.sha256(sample.read_bytes()).hexdigest()
    monkeypatch.setattr(Release, "sha256", property(lambda _: digest, lambda *_: None), raising=False)
    assert asked(Source("mirror", tmp_path)) == asked(Source("sample"))
    made = make_plan(chosen.benchmarks, Source("sample"), chosen.settings, strict=True, named=True)
    assert not made.benchmarks[0].complete
