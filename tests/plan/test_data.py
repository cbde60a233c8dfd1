import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import MissingError, UserError
from harness.plan.data import Files, Source, package_file

README = """---
configs:
- config_name: one
  data_files:
  - {split: test, path: one/test-*.parquet}
  - {split: dev, path: [one/dev.jsonl]}
- config_name: two
  default: true
  data_files:
  - {split: test, path: two/test.jsonl.gz}
---
Text.
"""


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    repo = tmp_path / "org" / "set"
    (repo / "one").mkdir(parents=True)
    (repo / "two").mkdir()
    (repo / "README.md").write_text(README)
    for part in (0, 1):
        pq.write_table(pa.table({"x": [part], "c": [["a", "b"]]}), repo / "one" / f"test-{part}.parquet")
    (repo / "one" / "dev.jsonl").write_text('{"x": 5, "c": ["u\\u2028v"]}\n\n')
    (repo / "two" / "test.jsonl.gz").write_bytes(gzip.compress(json.dumps({"y": "é"}).encode()))
    return tmp_path


def test_reads_parquet_and_json_lines(mirror: Path) -> None:
    source = Source("mirror", mirror)
    data = source.load("org/set", "one")
    assert data["test"].to_list() == [{"x": 0, "c": ["a", "b"]}, {"x": 1, "c": ["a", "b"]}]
    assert data["dev"].to_list() == [{"x": 5, "c": ["u\u2028v"]}]
    repo = source.read["org/set", "one"]
    assert set(repo.sha256) == {"test", "dev"}
    assert repo.complete


def test_default_config_and_compressed_lines(mirror: Path) -> None:
    source = Source("mirror", mirror)
    assert source.load("org/set", None)["test"].to_list() == [{"y": "é"}]
    assert ("org/set", "two") in source.read


def test_fingerprint_follows_the_bytes(mirror: Path) -> None:
    first, second = Source("mirror", mirror), Source("mirror", mirror)
    first.load("org/set", "one")
    (mirror / "org/set/one/dev.jsonl").write_text('{"x": 6, "c": []}\n')
    second.load("org/set", "one")
    before, after = first.read["org/set", "one"].sha256, second.read["org/set", "one"].sha256
    assert before["test"] == after["test"]
    assert before["dev"] != after["dev"]


def test_missing_things_name_the_key_and_the_download(mirror: Path) -> None:
    source = Source("mirror", mirror)
    with pytest.raises(MissingError, match=r"data\.root = .* has no data set org/other") as caught:
        source.load("org/other", None)
    assert "hf download org/other --repo-type dataset" in caught.value.remedy
    with pytest.raises(MissingError, match="has no config three"):
        source.load("org/set", "three")
    (mirror / "org/set/one/dev.jsonl").unlink()
    with pytest.raises(MissingError, match="lacks the file"):
        source.load("org/set", "one")
    with pytest.raises(UserError, match=r"data\.root is not set"):
        Source("mirror").load("org/set", None)


def test_hub_reads_the_snapshot_folder(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[list[str] | None] = []

    def snapshot(repo: str, *, repo_type: str, revision: str | None, allow_patterns: list[str] | None) -> str:
        assert repo_type == "dataset"
        asked.append(allow_patterns)
        return str(mirror / repo)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    data = Source("hub").load("org/set", "one")
    assert len(data["test"]) == 2
    assert asked == [["README.md"], ["README.md", "one/test-*.parquet", "one/dev.jsonl"]]


def test_hub_out_of_reach_is_a_user_error() -> None:
    with pytest.raises(MissingError, match="data = hub, but org/nowhere is not in the hub's cache"):
        Source("hub").load("org/nowhere", None)


def test_sample_docs_are_not_the_real_set_but_humaneval_is() -> None:
    source = Source("sample")
    source.load("cais/mmlu", "anatomy")
    source.load("openai/openai_humaneval", None)
    assert not source.read["cais/mmlu", "anatomy"].complete
    assert source.read["openai/openai_humaneval", "openai_humaneval"].complete


def test_package_that_is_not_installed() -> None:
    with pytest.raises(MissingError, match="no-such-package is not installed"):
        package_file("package://no_such_package/file")


def test_a_script_is_not_run_and_its_conversion_is_named(tmp_path: Path) -> None:
    repo = tmp_path / "org" / "scripted"
    repo.mkdir(parents=True)
    (repo / "README.md").write_text("---\ndataset_info:\n- config_name: one\n---\n")
    (repo / "scripted.py").write_text("raise SystemExit\n")
    source = Source("mirror", tmp_path)
    with pytest.raises(MissingError, match=r"org/scripted in .* is a script \(scripted\.py\)") as caught:
        source.load("org/scripted", "one")
    assert "--revision refs/convert/parquet" in caught.value.remedy
    # the conversion beside it is enough
    (repo / "one" / "test").mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), repo / "one" / "test" / "0000.parquet")
    assert source.load("org/scripted", "one")["test"].to_list() == [{"x": 1}]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    repo = tmp_path / "org" / "tables"
    (repo / "dev").mkdir(parents=True)
    (repo / "README.md").write_text("---\nlicense: mit\n---\n")
    (repo / "all.csv").write_bytes('\ufeffid,text\r\n1,"a, ""b""\n\u2028c"\r\n02,None\r\n'.encode())
    (repo / "dev" / "two.csv").write_text("NA,3\n")
    (repo / "dev" / "one.csv").write_text("x,1\ny,2\n")
    return tmp_path


def test_tables_that_a_task_names_are_text_as_it_stands(tables: Path) -> None:
    source = Source("mirror", tables)
    data = source.load("org/tables", files=Files({"test": "all.csv"}))
    assert data["test"].to_list() == [{"id": "1", "text": 'a, "b"\n\u2028c'}, {"id": "02", "text": "None"}]
    repo = source.read["org/tables", "default"]
    assert repo.complete
    assert set(repo.sha256) == {"test"}


def test_tables_without_names_take_the_tasks_and_say_their_file(tables: Path) -> None:
    files = Files({"dev": "dev/*.csv"}, ("text", "key"), origin="file")
    data = Source("mirror", tables).load("org/tables", files=files)
    assert data["dev"].to_list() == [
        {"text": "x", "key": "1", "file": "one"},
        {"text": "y", "key": "2", "file": "one"},
        {"text": "NA", "key": "3", "file": "two"},
    ]


def test_a_table_that_changed_is_read_again(tables: Path) -> None:
    source, files = Source("mirror", tables), Files({"dev": "dev/*.csv"}, ("text", "key"))
    assert len(source.load("org/tables", files=files)["dev"]) == 3
    before = source.read["org/tables", "default"].sha256
    (tables / "org/tables/dev/two.csv").write_text("NA,3\nz,4\n")
    assert len(source.load("org/tables", files=files)["dev"]) == 4
    assert source.read["org/tables", "default"].sha256 != before


def test_tables_that_are_not_there_or_of_another_form_are_named(tables: Path) -> None:
    source = Source("mirror", tables)
    with pytest.raises(MissingError, match=r"org/tables lacks the file test/\*\.csv of split test"):
        source.load("org/tables", files=Files({"test": "test/*.csv"}))
    with pytest.raises(MissingError, match=r"one\.csv: a row of 2 columns, where 3 were expected \(a, b, c\)"):
        source.load("org/tables", files=Files({"dev": "dev/*.csv"}, ("a", "b", "c")))


def test_the_hub_is_asked_for_the_named_files_only(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[list[str] | None] = []

    def snapshot(repo: str, *, allow_patterns: list[str] | None, **_: object) -> str:
        asked.append(allow_patterns)
        return str(tables / repo)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert len(Source("hub").load("org/tables", files=Files({"test": "all.csv"}))["test"]) == 2
    assert asked == [["README.md", "all.csv"]]
