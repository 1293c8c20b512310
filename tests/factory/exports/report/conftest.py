"""A run of 60 prompts, and its report."""

from pathlib import Path

import pytest

from factory.exports.report import report_html
from tests.report_page import Page
from tests.runs import run_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folder(tmp_path_factory.mktemp("run") / "demo", prompts=60)


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(report_html(run))
