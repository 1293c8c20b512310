"""A headless Chromium for what is seen in a browser."""

import shutil
from collections.abc import Iterator

import pytest

QUIET = ("background-networking", "component-update", "sync", "gpu", "default-apps", "domain-reliability")
ARGUMENTS = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Closed with its module: while it is open its event loop runs in this thread, where no other may."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    # Here, since the modules that ask for it are skipped without playwright.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield running
        running.close()
