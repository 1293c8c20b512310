import io
import os
import re
import sys

import pytest
from rich.console import Console
from rich.progress import Progress as Bars

from factory.progress import Silent
from factory.terminal import LineProgress, describe_rate, describe_seconds, for_stream
from factory.terminal.bars import LiveProgress, RateColumn
from factory.terminal.tables import cell, table


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((0, 5, 3.0, "requests", 0, 0.0), "ETA unknown"),
        ((10, 5, 5.0, "requests", 0, 0.0), "2.0 requests/s · ETA 2s"),
        ((1, 3, 20.0, "prompts", 400, 0.0), "0.05 prompts/s · 20 tokens/s · ETA 1m00s"),
        ((100, 300, 10.0, "calls", 5000, 0.5), "0.50 spent, about 2.00 in all · 10.0 calls/s · 500 tokens/s · ETA 30s"),
    ],
)
def test_rate_total_and_time_left(given, text):
    assert describe_rate(*given) == text


def test_seconds_as_people_say_them():
    assert [describe_seconds(s) for s in (0.4, 59, 61, 3599, 7500)] == ["0s", "59s", "1m01s", "59m59s", "2h05m"]


def test_what_was_done_before_counts_as_done_and_not_for_the_rate():
    stream = io.StringIO()
    lines = LineProgress(stream, every=0.0)
    lines.start("scores 1", 45, "prompts", done=28)
    lines.advance(1, tokens=10)
    shown = re.search(r"scores 1: 29/45 · ([\d.,]+) prompts/s · ([\d,]+) tokens/s · ETA", stream.getvalue())
    assert shown
    prompts, tokens = (float(number.replace(",", "")) for number in shown.groups())
    assert tokens == pytest.approx(10 * prompts, rel=0.05, abs=1)


def test_a_bar_goes_on_from_what_was_done_before():
    stream = io.StringIO()
    bar = LiveProgress(Console(file=stream, force_terminal=True, width=120))
    bar.start("scores 1", 45, "prompts", done=28)
    bar.advance(1)
    bar.say("[not markup]")
    bar.finish()
    assert "scores 1" in stream.getvalue()
    assert "29/45" in stream.getvalue()
    assert "ETA" in stream.getvalue()
    assert "[not markup]" in stream.getvalue()


def test_the_rate_beside_a_bar_is_of_what_was_done_since():
    clock = [0.0]
    bars = Bars(get_time=lambda: clock[0])
    task = bars.add_task("scores 1", total=45, completed=28, before=28, unit="prompts", tokens=0, cost=0.0)
    bars.advance(task, 2)
    clock[0] = 10.0
    assert RateColumn().render(bars.tasks[0]).plain == "ETA 1m15s · 0.2 prompts/s"


def test_lines_where_there_is_no_terminal():
    assert isinstance(for_stream(io.StringIO()), LineProgress)
    assert isinstance(for_stream(None), Silent)  # as `2>&-` leaves it


@pytest.mark.parametrize(("kind", "progress"), [("dumb", LineProgress), ("xterm-256color", LiveProgress)])
def test_lines_where_the_terminal_cannot_move_its_cursor(kind, progress, monkeypatch):
    """rich shows no bar there, and a run of hours would say nothing."""
    monkeypatch.setenv("TERM", kind)
    stream = io.StringIO()
    stream.isatty = lambda: True
    assert isinstance(for_stream(stream), progress)


def test_a_bar_fits_a_narrow_terminal_on_one_line_with_its_count():
    for width in (40, 60, 80):
        stream = io.StringIO()
        bar = LiveProgress(Console(file=stream, force_terminal=True, width=width))
        bar.start("judge a-model-with-a-long-name/instruct", 100_000, "requests", done=28)
        bar.advance(1000, tokens=10_000_000, cost=12.5)
        assert bar._bars is not None
        shown = Console(width=width, file=io.StringIO()).render_lines(bar._bars.get_renderable())
        assert len(shown) == 1
        assert sum(segment.cell_length for segment in shown[0]) <= width
        bar.finish()
        text = "".join(segment.text for segment in shown[0])
        assert "1028/100000" in text
        assert width < 60 or "ETA" in text
        bar.finish()


@pytest.mark.parametrize("kind", ["xterm", "dumb"])
def test_no_work_ends_as_its_terminal_is_gone(kind, monkeypatch):
    monkeypatch.setenv("TERM", kind)
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as stream:
        progress = for_stream(stream)
        os.close(ours)
        progress.say("one")
        progress.start("judge", 2, "requests")
        progress.advance()
        progress.finish()
        progress.say("two")


def test_cells_are_as_people_write_them():
    assert [cell(value) for value in (None, 1234, 0.12345, True, "x")] == ["–", "1,234", "0.1235", "True", "x"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


WIDE = [
    ["judge gpt-4o", 36, 31_829_516_192_768, 72, "0s, not counted", 0.08029],
    ["x" * 40, 126, 61_363, 20_140, "unknown", None],
]


@pytest.mark.parametrize(("columns", "at_most"), [(30, 100), (76, 76), (80, 80), (100, 100), (300, 100)])
def test_a_table_is_no_wider_than_its_terminal_and_holds_every_number_whole(columns, at_most, monkeypatch):
    """Where the numbers alone are wider it stays as in a file."""
    monkeypatch.setenv("COLUMNS", str(columns))
    headers = ["stage", "requests", "tokens sent", "tokens received", "time", "cost"]
    in_a_file = table(headers, WIDE)
    monkeypatch.setattr(sys, "stdout", Terminal())
    shown = table(headers, WIDE)
    assert max(map(len, shown.splitlines())) <= at_most
    assert {"36", "31,829,516,192,768", "72", "0.08029", "126", "61,363", "20,140", "–"} <= set(shown.split())
    assert shown.count("x") >= 40
    assert (shown == in_a_file) == (columns == 30 or columns >= 100)
