"""Charts place what they are given, within their frame."""

import re

import pytest

from factory.exports.pages.charts import Line, bar, dot, lines, steps, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, (0, 20, 40, 60, 80, 100)),
        (0.41, 0.52, (0.4, 0.425, 0.45, 0.475, 0.5, 0.525)),
        (-0.03, 0.02, (-0.03, -0.02, -0.01, 0.0, 0.01, 0.02)),
        (5, 5, (5, 6, 7, 8, 9, 10)),
        (0, 0, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
    ],
)
def test_ticks_are_round_and_span_the_data(low: float, high: float, expected: tuple[float, ...]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_charts_place_points_and_escape_names() -> None:
    """The plot is 250 wide from 46 and 184 high from 12: x 1..3 and y 0..0.6 put (2, 0.3) at (171, 104)."""
    chart = lines([Line("<b>", "chosen", [(1, 0.0), (2, 0.3), (3, 0.6)])], "iteration", "p", from_zero=True)
    assert 'points="46.0,196.0 171.0,104.0 296.0,12.0"' in chart
    assert "&lt;b&gt;" in chart
    assert "<b>" not in chart
    assert lines([], "x", "y") == ""
    assert steps([("chosen", "chosen", [])], 10, "x", 0) == ""


def test_bars_and_dots_are_in_percent_and_stay_inside() -> None:
    assert 'width="25.00%"' in bar(1, 4)
    assert 'width="0.00%"' in bar(1, 0)
    assert re.search(r'cx="50.00%".*', dot(0.5, (-1, 2)))
    assert 'x1="0.00%" x2="100.00%"' in dot(0.5, (-1, 2))
