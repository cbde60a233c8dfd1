"""What models, data sets and files say is shown as text, and runs nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.report.page.conftest import Visit
from tests.report.page.support import HOSTILE, LONG, Sample, write_run

Open = Callable[..., Visit]
Pages = Callable[[str, Callable[[Path], Sequence[Path]]], Path]
EVIL = HOSTILE[0].replace("/", "\u2215") + "\u202e"  # a folder's name holds no slash


def everywhere(text: str) -> Sample:
    return Sample(
        1.0, text, prefix=text, query=f"Q {text}", target=text, extracted=text, rule=text,
        options={"stop": [], "messages": []},
    )  # fmt: skip


def hostile(folder: Path) -> list[Path]:
    """Two runs in which every text is an attack: names, titles, ids, prompts, answers, reasons, receipts."""
    bad = " ".join(HOSTILE)
    samples = [everywhere(text) for text in HOSTILE] + [Sample(0.0, LONG, query="long")]
    talk = [{"role": text, "text": text} for text in HOSTILE]
    samples.append(Sample(0.0, "turns", query="turns", options={"messages": talk}))
    choices = Sample(0.0, "[-1.0, -2.0]", query="choices", rule="argmax", options={"continuations": list(HOSTILE[:2])})
    ids = [f"{i} {text}" for i, text in enumerate(HOSTILE)] + ["long", "turns", "choices"]
    runs = []
    for name in ("a" + EVIL, "b" + EVIL):
        folders = write_run(
            folder / name,
            {"task": [*samples, choices], "other": [Sample(1.0), Sample(0.0)]},
            rows={"row": ["task", "other"]},
            titles={"row": bad},
            skipped={bad: bad},
            changes={
                "model": {"model": bad, "kind": "base", "dtype": bad, bad: bad},
                "execution": {bad: bad},
                "started": bad,
            },
            ids={"task": [doc.replace("/", "\u2215") for doc in ids]},
        )
        scores = json.loads((folders / "scores.json").read_text())
        scores["benchmarks"]["row"] |= {"rules": {bad: 1.0}, "options": {bad: bad + "\ud800"}}
        (folders / "scores.json").write_text(json.dumps(scores))
        runs.append(folders)
    return runs


@pytest.fixture
def seen(visit: Open, pages: Pages) -> Visit:
    return visit(pages("hostile", hostile)).settled()


def owned(seen: Visit) -> Any:
    return seen.page.evaluate("window.owned ?? null")


def test_every_sample_is_text_and_nothing_runs(seen: Visit) -> None:
    links = seen.page.locator("#list a")
    assert links.count() == len(HOSTILE) + 5
    for i in range(links.count()):
        name = links.nth(i).locator(".doc-name").inner_text()
        links.nth(i).click()
        seen.until(f"document.querySelector('#detail h3')?.innerText === {json.dumps(name)}")
        for summary in seen.page.locator("#detail summary").all():
            summary.click()
    seen.page.wait_for_timeout(200)
    assert owned(seen) is None
    assert seen.said == []
    assert seen.asked == []
    assert seen.page.evaluate("document.querySelectorAll('#detail :is(script, img, iframe, base, b)').length") == 0
    assert seen.page.evaluate("[...document.links].filter(a => !a.getAttribute('href').startsWith('#')).length") == 0


def test_answers_are_shown_to_the_letter(seen: Visit) -> None:
    for i in (0, 1, 2, 3, 4, 5, 6, 8):
        seen.page.locator("#list a").nth(i).click()
        start = HOSTILE[i][:20]
        seen.until(f"document.querySelector('#detail pre.asked')?.textContent.includes({json.dumps(start)})")
        texts = seen.page.locator("#detail pre").all_text_contents()
        assert HOSTILE[i] in texts, texts


def test_marks_that_turn_text_around_are_shown_by_their_numbers(seen: Visit) -> None:
    seen.page.locator("#list a").nth(7).click()
    seen.until("document.querySelector('#detail .unseen')")
    text = seen.page.locator("#detail pre.asked").inner_text()
    for number in ("202E", "2066", "200F", "FEFF", "2028", "0000", "001B"):
        assert f"‹{number}›" in text
    body = seen.page.evaluate("document.body.textContent")
    assert not {"\u202e", "\u2066", "\x1b", "\ud800"} & set(body)


def test_a_megabyte_in_one_line_is_opened_on_demand(seen: Visit) -> None:
    seen.page.locator("#list a").nth(len(HOSTILE)).click()
    seen.until("document.querySelector('#detail h3')?.textContent.endsWith('long')")
    box = seen.page.locator("#detail pre", has=seen.page.locator("button")).first
    assert len(box.inner_text()) < 21_000
    box.locator("button").click()
    assert seen.page.evaluate(
        "text => [...document.querySelectorAll('#detail pre')].some(e => e.textContent === text)", LONG
    )
    # it makes nothing wider
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 1440


def test_the_policy_stops_what_is_not_the_page_s_own(seen: Visit) -> None:
    seen.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.owned = 9'}));"
        "document.body.insertAdjacentHTML('beforeend', '<i id=i onclick=\"window.owned = 10\">i</i>');"
        "document.getElementById('i').click()"
    )
    assert owned(seen) is None
    assert any("Content Security Policy" in text for text in seen.said)
    refused = seen.page.evaluate("fetch('http://localhost:9/').then(() => 'sent', () => 'refused')")
    assert refused == "refused"
    assert seen.asked == []


def test_the_static_parts_hold_no_foreign_markup(pages: Pages) -> None:
    from lxml import html

    text = pages("hostile", hostile).read_text(encoding="utf-8")
    tree = html.document_fromstring(text.encode())
    own = tree.xpath("//script[not(@type)]")
    assert len(own) == 1
    assert not tree.xpath("//img | //iframe | //base | //link | //object | //embed")
    assert not [name for element in tree.iter() for name in element.attrib if name.startswith("on") or name == "style"]
    assert all(href.startswith("#") for href in tree.xpath("//@href"))
    assert not tree.xpath("//@src")


def test_no_control_character_is_in_the_file(pages: Pages) -> None:
    text = pages("hostile", hostile).read_text(encoding="utf-8")
    assert not {"\u202e", "\u2066", "\x1b", "\x00", "\u2028", "\ufeff"} & set(text)
