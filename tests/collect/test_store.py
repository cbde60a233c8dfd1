import sqlite3
from pathlib import Path

import pytest

from harness.backends.base import Generated, Scored
from harness.collect import Store
from harness.errors import UserError

SCORED = Scored((-1.5, -2.0), (True, False), 12)
TEXT = Generated("é\n\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "length", 3, 4)


def test_keeps_what_it_was_given(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        store.put("m", [("a", SCORED, 0.5), ("b", TEXT, 0.0)])
    with Store(tmp_path / "s.sqlite") as store:
        assert store.get("m", ["a", "b", "c"]) == {"a": (SCORED, 0.5), "b": (TEXT, 0.0)}
        assert store.get("other model", ["a"]) == {}


def test_the_first_answer_stays(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        store.put("m", [("a", SCORED, 0.5)])
        store.put("m", [("a", TEXT, 9.0)])
        assert store.get("m", ["a"]) == {"a": (SCORED, 0.5)}


def test_asks_for_more_hashes_than_sqlite_takes_at_once(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        store.put("m", [(str(i), SCORED, 0.0) for i in range(3000)])
        assert len(store.get("m", [str(i) for i in range(5000)])) == 3000


def test_two_processes_share_a_store(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as one, Store(tmp_path / "s.sqlite") as two:
        one.put("m", [("a", SCORED, 0.0)])
        two.put("m", [("b", SCORED, 0.0)])
        assert len(one.get("m", ["a", "b"])) == 2


@pytest.mark.parametrize("damage", ["header", "middle"])
def test_a_damaged_store_is_kept_aside(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        store.put("m", [(f"{i:064}", SCORED, 0.0) for i in range(2000)])
    data = bytearray(path.read_bytes())
    start = 0 if damage == "header" else 8192
    data[start : start + 6000] = b"\xa5" * 6000
    path.write_bytes(data)
    with Store(path) as store:
        assert store.get("m", ["a"]) == {}
        store.put("m", [("a", SCORED, 0.0)])
    assert "is damaged" in caplog.text
    assert (tmp_path / "s.sqlite.damaged-1").read_bytes() == bytes(data)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"run\.dir = .*cannot be written"):
        Store(tmp_path / "file" / "s.sqlite")


def test_every_put_is_committed_at_once(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        store.put("m", [("a", SCORED, 0.0)])
        other = sqlite3.connect(tmp_path / "s.sqlite")
        assert other.execute("SELECT count(*) FROM responses").fetchone() == (1,)
        other.close()
