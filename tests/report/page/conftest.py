from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from harness.report.page import write_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: make toolchains")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass
class Visit:
    """A page in the browser, and all that it did beside being there."""

    page: Page
    said: list[str] = field(default_factory=list)
    """Console messages, errors and dialogs."""
    asked: list[str] = field(default_factory=list)
    """Requests for anything but the file itself."""

    def settled(self) -> Visit:
        self.page.wait_for_selector("html[data-ready]")
        return self

    def until(self, condition: str) -> None:
        # the browser's own waiting evaluates a string, which the page's policy forbids
        for _ in range(200):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(25)
        raise AssertionError(f"never: {condition}")

    @property
    def count(self) -> str:
        return self.page.inner_text("#count")

    @property
    def listed(self) -> list[str]:
        return self.page.locator("#list .doc-name").all_inner_texts()

    def choose(self, field: str, value: str) -> None:
        self.page.select_option(f"#filter [name={field}]", value)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    contexts = []

    def open_page(path: Path, hash_: str = "", **options: Any) -> Visit:
        context = browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | options))
        contexts.append(context)
        page = context.new_page()
        made = Visit(page)
        page.on("console", lambda message: made.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: made.said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (made.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request", lambda request: None if request.url.startswith(path.as_uri()) else made.asked.append(request.url)
        )
        page.goto(path.as_uri() + hash_)
        return made

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Sequence[Path]]], Path]:
    """A page by name, made once: of the run folders that a function writes below a folder."""
    made: dict[str, Path] = {}

    def page(name: str, write: Callable[[Path], Sequence[Path]]) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            write_page(write(folder), folder / "report.html")
            made[name] = folder / "report.html"
        return made[name]

    return page
