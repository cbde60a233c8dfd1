"""Size and speed of the page of a large run, in a real browser.

    python bench/report.py [--samples 100000] [--runs 1] [--rounds 5]

Questions and answers are of random words with the frequencies of a language, about as long as those of MMLU-Pro, so
that they compress no better than real ones; the docs of a task share their shots. Needs Chromium (`make toolchains`).
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.report.page import write_page
from tests.report.page.support import Sample, write_run

TASKS = 50
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FILTERS = (("verdict", "wrong"), ("row", "R3"), ("flag", "truncated"), ("verdict", "right"))
# the time from a choice to the list that it leaves, with the docs' texts unpacked and painted
CHOOSE = """([name, value]) => new Promise(done => {
  const field = document.querySelector(`#filter [name=${name}]`);
  const option = [...field.options].find(o => o.value === value || o.textContent === value);
  const began = performance.now();
  field.value = option.value;
  field.dispatchEvent(new Event("change", {bubbles: true}));
  const drawn = () => {
    if ([...document.querySelectorAll("#list .snippet")].some(text => text.textContent === "\\u00a0"))
      requestAnimationFrame(drawn);
    else requestAnimationFrame(() => done(performance.now() - began));
  };
  requestAnimationFrame(drawn);
})"""


def words(rng: np.random.Generator, count: int = 30_000) -> np.ndarray:
    letters = np.array(list("etaoinshrdlcumwfgypbvkjxqz"))
    weights = 1 / np.arange(2, 28)
    lengths = rng.integers(2, 11, count)
    return np.array(["".join(rng.choice(letters, n, p=weights / weights.sum())) for n in lengths], dtype=object)


def make(folder: Path, samples: int, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    vocabulary = words(rng)
    frequency = 1 / (np.arange(len(vocabulary)) + 2.7)
    frequency /= frequency.sum()

    def text(mean: float) -> str:
        return " ".join(rng.choice(vocabulary, max(5, int(rng.gamma(3, mean / 3))), p=frequency))

    tasks = {}
    for task in range(TASKS):
        shots = text(900) + "\n\n"
        tasks[f"t{task}"] = [
            Sample(
                float(rng.random() < 0.6),
                raw=text(90),
                prefix=shots,
                query=f"Question: {text(100)}\nAnswer:",
                target="ABCD"[i % 4],
                extracted="ABCD"[int(rng.integers(4))],
                truncated=bool(rng.random() < 0.02),
            )
            for i in range(samples // TASKS)
        ]
    return write_run(folder, tasks, rows={f"r{row}": [f"t{t}" for t in range(row, TASKS, 10)] for row in range(10)})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if CHROMIUM is None:
        print("There is no Chromium: make toolchains.", file=sys.stderr)
        return 2
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        runs = [make(folder / f"run{i}", options.samples, i) for i in range(options.runs)]
        began = time.perf_counter()
        write_page(runs, folder / "report.html")
        written = time.perf_counter() - began
        size = (folder / "report.html").stat().st_size
        print(f"{options.runs} x {options.samples:,} samples: {size / 1e6:.1f} MB, written in {written:.1f} s")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened, chosen = [], []
        for _ in range(options.rounds):
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            began = time.perf_counter()
            page.goto((folder / "report.html").as_uri())
            page.wait_for_selector("html[data-ready]")
            opened.append(time.perf_counter() - began)
            for name, value in FILTERS:
                chosen.append(page.evaluate(CHOOSE, [name, value]))
            print(f"  opened in {opened[-1]:.2f} s; shown: {page.inner_text('#count')}")
            page.close()
        browser.close()
    print(f"opened: median {statistics.median(opened):.2f} s, worst {max(opened):.2f} s (aim 2)")
    print(f"filtered: median {statistics.median(chosen):.0f} ms, worst {max(chosen):.0f} ms (aim 200)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
