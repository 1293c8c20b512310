"""How large a run's report is, and how soon it is there in a browser: headless Chromium, which must be installed.

    python benchmarks/pages.py --rows 5000

Pairs as in benchmarks/filters.py, some 3,000 characters each, judged by a scripted judge. The page is opened anew each
time, from disk; told is the median until something is painted, and until the first pair can be read.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

import factory
from benchmarks.made_pairs import make

TIMES = 7


class Opened(NamedTuple):
    """Seconds from the call on."""

    painted: float
    readable: float


def page(rows: int, folder: Path) -> Path:
    """The report of a funnel over so many pairs."""
    make(rows, folder / "data")
    config = {"filters": [{"use": "judge_agrees"}], "judges": [{"name": "J", "engine": "scripted", "kept_sample": 100}]}
    factory.filter([str(folder / "data/pairs")], folder / "run/filtered", config=config)
    return factory.report(folder / "run")


def opened(html: Path, times: int) -> list[Opened]:
    """The page opened so often, each time in a browser's window of its own."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(times):
            tab = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            began = time.perf_counter()
            tab.goto(html.as_uri())
            tab.locator("#detail .side").first.wait_for()
            readable = time.perf_counter() - began
            painted = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
            found.append(Opened(painted, readable))
            tab.context.close()
        browser.close()
    return found


def main() -> None:
    """Parse, make the page, open it, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        html = page(options.rows, Path(name))
        size = html.stat().st_size / 1e6
        seen = opened(html, TIMES)
    print("| pairs | page, MB | painted after, s | first pair readable after, s |\n|---|---|---|---|")
    cells = [f"{statistics.median(one):.2f} ({min(one):.2f} to {max(one):.2f})" for one in zip(*seen, strict=True)]
    print(f"| {options.rows:,} | {size:.2f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
