"""README.md is run: its blocks in order in an empty folder, what it shows held against what comes out."""

import re
from pathlib import Path

import pytest

from tests.test_tutorial import lines, run, steps

README = Path(__file__).parent.parent / "README.md"
STEPS = steps(README.read_text(encoding="utf-8"))
COMMANDS = [line for step in STEPS if step.language == "sh" for line in step.code.splitlines()]


@pytest.mark.integration
@pytest.mark.slow
def test_a_stranger_s_first_minutes_run(tmp_path: Path) -> None:
    for step in STEPS:
        shown = run(step, tmp_path)
        if step.shown is not None:
            wanted, found = ("\n".join(lines(text, step.varies)) for text in (step.shown, shown))
            assert wanted in found, step.code
    assert (tmp_path / "runs/try/report.html").is_file()
    assert (tmp_path / "out/rm/croissant.json").is_file()
    assert (tmp_path / "out/dpo/README.md").is_file()


def test_the_blocks_are_there_to_run() -> None:
    asked = {line.split()[1] for line in COMMANDS}
    assert {"init", "run", "report", "status", "look", "filter", "audit", "export", "check-data"} <= asked
    assert any(step.language == "python" for step in STEPS)
    assert any(step.shown for step in STEPS)


def test_the_picture_is_small_and_there() -> None:
    (place,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README.read_text(encoding="utf-8"))
    assert 10_000 < (README.parent / place).stat().st_size < 150_000
