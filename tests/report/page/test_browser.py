"""The page in a real browser, opened from a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.report.page.conftest import Visit
from tests.report.page.support import usual

Open = Callable[..., Visit]
Pages = Callable[[str, Callable[[Path], Sequence[Path]]], Path]


def one(folder: Path) -> list[Path]:
    return [usual(folder / "mine", whole=True)]


def two(folder: Path) -> list[Path]:
    return [usual(folder / "old"), usual(folder / "new", shift=1)]


def test_it_opens_from_a_file_says_nothing_and_asks_for_nothing(visit: Open, pages: Pages) -> None:
    for name, write in (("one", one), ("two", two)):
        seen = visit(pages(name, write)).settled()
        assert seen.said == []
        assert seen.asked == []
        for section in ("table", "charts", "parts", "samples", "cost", "receipts"):
            assert seen.page.locator(f"#{section}").is_visible(), section
        assert seen.page.locator("#charts svg:visible").count() >= 2


def test_the_table_has_published_and_measured_figures_in_line(visit: Open, pages: Pages) -> None:
    page = visit(pages("one", one)).settled().page
    row = page.locator("#table tr", has=page.locator("th", has_text="GSM8K"))
    assert "89.5" in row.inner_text()
    assert row.locator("td.measured").inner_text() == "32.1"
    # numbers of a column end at one place, with one decimal
    ends = page.locator("#table td.reference").evaluate_all(
        "cells => cells.map(c => { const r = document.createRange(); r.selectNodeContents(c);"
        " return [Math.round(r.getBoundingClientRect().right), c.textContent.trim()] })"
    )
    assert len({end for end, text in ends if text != "–"}) == 1
    assert all(text == "–" or len(text.split(".")[1]) == 1 for _, text in ends)


def test_filters(visit: Open, pages: Pages) -> None:
    seen = visit(pages("one", one)).settled()
    assert seen.count == "23 of 23 docs"
    for field, value, expected in (
        ("row", "MMLU", 8), ("verdict", "right", 8), ("verdict", "wrong", 13), ("verdict", "partly", 1),
        ("verdict", "open", 1), ("flag", "truncated", 3), ("flag", "unparsed", 1),
    ):  # fmt: skip
        seen.choose(field, value)
        assert seen.count == f"{expected} of 23 docs", (field, value)
        assert len(seen.listed) == expected
        assert f"{field}={value}" in seen.page.url
        seen.page.click("#filter button[type=reset]")
        assert seen.count == "23 of 23 docs"


def test_filters_stand_together_and_the_address_is_the_view(visit: Open, pages: Pages) -> None:
    seen = visit(pages("one", one)).settled()
    seen.choose("row", "GSM8K")
    seen.choose("verdict", "right")
    seen.choose("flag", "truncated")
    assert seen.listed == ["gsm8k_cot/0"]
    again = visit(pages("one", one), "#" + seen.page.url.split("#")[1]).settled()
    assert again.listed == ["gsm8k_cot/0"]
    assert again.page.locator("#filter [name=verdict]").input_value() == "right"


def test_flips(visit: Open, pages: Pages) -> None:
    seen = visit(pages("two", two)).settled()
    seen.choose("row", "GSM8K")
    for flip, expected in (("lost", 4), ("won", 4), ("any", 8)):
        seen.choose("flip", flip)
        assert seen.count == f"{expected} of 22 docs"
    # the same docs from the other side
    seen.choose("run", "1")
    seen.choose("against", "0")
    seen.choose("flip", "won")
    assert seen.listed == [f"gsm8k_cot/{i}" for i in (0, 3, 6, 9)]


def test_search_looks_into_prompts_and_answers(visit: Open, pages: Pages) -> None:
    seen = visit(pages("one", one)).settled()
    for text, expected in (("i cannot SAY", ["gsm8k_cot/12"]), ("what is 7 +", ["gsm8k_cot/7"]), ("anatomy", [])):
        seen.page.fill("#filter [name=q]", text)
        names = json.dumps(expected)
        seen.until(
            f"JSON.stringify([...document.querySelectorAll('#list .doc-name')].map(e => e.textContent)) === '{names}'"
        )
    seen.page.fill("#filter [name=q]", "Question")
    seen.until("document.querySelectorAll('#list li').length === 23")


def test_a_deep_link_shows_one_sample_with_its_shots_folded(visit: Open, pages: Pages) -> None:
    seen = visit(pages("two", two), "#doc=mmlu_law%2F2").settled()
    detail = seen.page.locator("#detail")
    seen.page.wait_for_selector("#detail h3")
    assert detail.locator("h3").inner_text() == "mmlu_law/2"
    assert "Question 6: which?" in detail.inner_text()
    assert "1 + 1?" not in detail.inner_text()
    detail.locator("summary").click()
    seen.page.wait_for_selector("#detail details pre")
    assert "Question: 1 + 1?" in detail.locator("details pre").inner_text()
    # the choices with both runs' log-likelihoods, the highest of each standing out
    assert detail.locator("tbody tr").count() == 4
    assert detail.locator("td.best").all_inner_texts() == ["-1.000", "-1.500"]
    assert "argmax" in detail.inner_text()
    assert seen.page.locator("#samples").evaluate("e => e.getBoundingClientRect().top") < 900


def test_an_unknown_sample_is_told(visit: Open, pages: Pages) -> None:
    seen = visit(pages("one", one), "#doc=nothing%2F1").settled()
    assert "There is no sample nothing/1 here" in seen.page.inner_text("#detail")


def test_keys(visit: Open, pages: Pages) -> None:
    seen = visit(pages("one", one)).settled()
    seen.page.keyboard.press("/")
    assert seen.page.evaluate("document.activeElement.name") == "q"
    seen.page.keyboard.press("Tab")
    seen.page.keyboard.press("j")
    seen.page.keyboard.press("j")
    seen.until("document.querySelector('#detail h3')?.textContent === 'gsm8k_cot/1'")
    seen.page.keyboard.press("k")
    seen.until("document.querySelector('#detail h3')?.textContent === 'gsm8k_cot/0'")


def test_keys_that_come_at_once_count_each(visit: Open, pages: Pages) -> None:
    seen = visit(pages("one", one)).settled()
    press = "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'j'}))"
    seen.page.evaluate(f"{press}; {press}; {press}")
    seen.until("document.querySelector('#detail h3')?.textContent === 'gsm8k_cot/2'")
    assert seen.page.evaluate("document.activeElement.hash").endswith("gsm8k_cot%2F2")
    seen.page.go_back()
    seen.until("document.querySelector('#detail h3')?.textContent === 'gsm8k_cot/1'")


def test_light_and_dark(visit: Open, pages: Pages) -> None:
    def paper(seen: Visit) -> str:
        return str(seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    dark = visit(pages("one", one), color_scheme="dark").settled()
    light = visit(pages("one", one), color_scheme="light").settled()
    before = (paper(dark), paper(light))
    assert before[0] != before[1]
    dark.page.click("#theme")
    light.page.click("#theme")
    assert (paper(dark), paper(light)) == before[::-1]
    assert dark.page.inner_text("#theme") == "Dark"


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [("one", 1440, "light"), ("two", 1440, "dark"), ("two", 390, "light"), ("one", 390, "dark")],
)
def test_axe_finds_no_serious_fault(visit: Open, pages: Pages, name: str, width: int, scheme: str) -> None:
    axe = Path(__file__).parents[3] / ".toolchains/node_modules/axe-core/axe.min.js"
    if not axe.is_file():
        pytest.skip("needs axe-core: make toolchains")
    options: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    seen = visit(pages(name, {"one": one, "two": two}[name]), "#doc=gsm8k_cot%2F3", **options).settled()
    seen.page.wait_for_selector("#detail h3")
    for details in seen.page.locator("details").all():
        details.evaluate("element => element.open = true")
    seen.page.evaluate(axe.read_text(encoding="utf-8"))
    found = seen.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    faults = [
        {"rule": fault["id"], "where": [node["html"][:200] for node in fault["nodes"]][:3]}
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert not faults, json.dumps(faults, indent=1)
    assert len(found["violations"]) == 0, [fault["id"] for fault in found["violations"]]


@pytest.mark.parametrize("name", ["one", "two"])
def test_nothing_is_wider_than_a_phone(visit: Open, pages: Pages, name: str) -> None:
    options: dict[str, Any] = {"viewport": {"width": 390, "height": 844}}
    seen = visit(pages(name, {"one": one, "two": two}[name]), **options).settled()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    # the list makes room for the sample, and the way back is there
    seen.page.locator("#list a").first.click()
    seen.page.wait_for_selector("#detail h3")
    assert not seen.page.locator("#list").is_visible()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    seen.page.click("#detail .back")
    seen.page.wait_for_selector("#list")  # the address changes first, then the page
    assert not seen.page.locator("#table td.other").first.is_visible()
    seen.page.check("#all-columns")
    assert seen.page.locator("#table td.other").first.is_visible()


def test_paper_is_light_and_nothing_is_cut(visit: Open, pages: Pages) -> None:
    # A4 landscape without its margins, in CSS pixels
    options: dict[str, Any] = {"viewport": {"width": 1032, "height": 700}, "color_scheme": "dark"}
    page = visit(pages("two", two), **options).settled().page
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 1032
    wider = page.evaluate(
        "[...document.querySelectorAll('table')].filter(t => t.getBoundingClientRect().right > innerWidth).length"
    )
    assert wider == 0
    assert not page.locator("#filter").is_visible()
    assert page.pdf()[:4] == b"%PDF"


def test_parts_can_be_sorted(visit: Open, pages: Pages) -> None:
    page = visit(pages("two", two)).settled().page
    names = page.locator("#parts tbody th")
    assert names.all_inner_texts() == ["anatomy", "law"]
    page.locator("#parts thead button").first.click()
    assert names.all_inner_texts() == ["law", "anatomy"] or names.all_inner_texts() == ["anatomy", "law"]
    assert page.locator("#parts thead th").first.get_attribute("aria-sort") in ("ascending", "descending")
