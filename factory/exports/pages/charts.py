"""The report's charts as inline SVG without a style of their own: colours and sizes come from the page's classes."""

from collections.abc import Sequence
from math import floor, log10
from typing import NamedTuple

from markupsafe import Markup, escape

WIDTH, HEIGHT = 380, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 84, 12, 34
_LABEL_GAP = 14
_QUARTERS = (0, 25, 50, 75, 100)


class Line(NamedTuple):
    """A line of a chart."""

    name: str
    kind: str
    """Class that colours it: chosen, rejected, plain, or tone-1, tone-2, …"""
    points: Sequence[tuple[float, float]]


def ticks(low: float, high: float, most: int = 5) -> tuple[float, ...]:
    """At most `most` + 1 round numbers that span [low, high]; one step apart where the two are equal."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / most
    power: float = 10.0 ** floor(log10(raw))
    # 0.999: what rounding makes of a step that fits exactly is still that step.
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    # 1e-9, since 0.3 / 0.1 falls short of 3.
    first = floor(low / step + 1e-9)
    found: list[float] = []
    # Multiplied and rounded, not added up: sums of 0.1 drift.
    while not found or found[-1] < high - step * 1e-6:
        found.append(round((first + len(found)) * step, 10))
    return tuple(found)


def lines(series: Sequence[Line], x_label: str, y_label: str, *, from_zero: bool = False) -> Markup:
    """A line chart with the lines named at their ends; nothing where there is no point."""
    drawn = [line for line in series if line.points]
    if not drawn:
        return Markup("")
    xs = [x for line in drawn for x, _ in line.points]
    ys = [y for line in drawn for _, y in line.points]
    up = ticks(0 if from_zero else min(ys), max(ys))
    plot = _Plot((min(xs), max(xs)), (up[0], up[-1]))
    parts = [
        _frame(plot, x_label, _whole_ticks(min(xs), max(xs)), up),
        *(_path(plot, line) for line in drawn),
        _names(plot, drawn),
    ]
    title = f"{y_label} by {x_label}: " + "; ".join(f"{line.name} ends at {line.points[-1][1]:.3g}" for line in drawn)
    return _svg(title, parts)


def steps(series: Sequence[tuple[str, str, Sequence[int]]], width: float, x_label: str, y_top: int) -> Markup:
    """A histogram drawn as outlines; `series` holds (name, class, counts), `width` is that of a bin."""
    bins = max((len(counts) for _, _, counts in series), default=0)
    if not bins or not y_top:
        return Markup("")
    up = ticks(0, y_top)
    plot = _Plot((0, bins * width), (0, up[-1]))
    parts = [_frame(plot, x_label, [tick for tick in ticks(0, bins * width, 4) if tick <= bins * width], up)]
    for _, kind, counts in series:
        corners = [(0.0, 0.0)]
        for slot, count in enumerate(counts):
            corners += [(slot * width, float(count)), ((slot + 1) * width, float(count))]
        parts.append(_path(plot, Line("", kind, [*corners, (bins * width, 0.0)])))
    return _svg(f"Histogram of {x_label}", parts)


def bar(part: float, whole: float, before: float | None = None, kind: str = "chosen") -> Markup:
    """A bar of `part` in `whole`, behind it a pale one of `before`."""
    # Widths as attributes of shapes: the page's policy forbids attributes of style.
    pale = "" if before is None else f'<rect class="pale" width="{_percent(before, whole)}" height="100%"/>'
    rect = f'<rect class="fill {escape(kind)}" width="{_percent(part, whole)}" height="100%"/>'
    return Markup(f'<svg class="bar" aria-hidden="true">{pale}{rect}</svg>')


def stack(parts: Sequence[tuple[str, float]]) -> Markup:
    """Shares of one whole, one after the other along a bar, each with the class that colours it."""
    whole, before, drawn = sum(part for _, part in parts), 0.0, ""
    for kind, part in parts:
        width, start = _percent(part, whole), _percent(before, whole)
        drawn += f'<rect class="fill {escape(kind)}" x="{start}" width="{width}" height="100%"/>' if part else ""
        before += part
    return Markup(f'<svg class="bar" aria-hidden="true">{drawn}</svg>')


def dot(value: float, interval: tuple[float, float], reference: float | None = None, kind: str = "chosen") -> Markup:
    """A share in [0, 1] as a dot on its interval, with a hairline at `reference`."""
    low, high = interval
    # Hidden from screen readers, as bars are: the number stands beside it in words.
    at = None if reference is None else _percent(reference, 1)
    line = "" if at is None else f'<line class="hair" x1="{at}" x2="{at}" y1="0" y2="100%"/>'
    span = f'<line class="span" x1="{_percent(low, 1)}" x2="{_percent(high, 1)}" y1="50%" y2="50%"/>'
    mark = f'<circle class="fill {escape(kind)}" cx="{_percent(value, 1)}" cy="50%" r="4.5"/>'
    return Markup(f'<svg class="dot" aria-hidden="true">{_track()}{line}{span}{mark}</svg>')


def scale() -> Markup:
    """The axis below dots: ticks at every quarter, named in percent."""
    ends = {0: "start", 100: "end"}
    marks = "".join(
        f'<line class="track" x1="{at}%" x2="{at}%" y1="0" y2="5"/>'
        f'<text class="tick" x="{at}%" y="18" text-anchor="{ends.get(at, "middle")}">{at} %</text>'
        for at in _QUARTERS
    )
    return Markup(
        f'<svg class="dot scale" aria-hidden="true"><line class="track" x1="0" x2="100%" y1="0" y2="0"/>{marks}</svg>'
    )


def _track() -> str:
    marks = "".join(f'<line class="grid" x1="{at}%" x2="{at}%" y1="0" y2="100%"/>' for at in _QUARTERS)
    return f'{marks}<line class="track" x1="0" x2="100%" y1="50%" y2="50%"/>'


def _percent(part: float, whole: float) -> str:
    # Bounded: what lies beyond the edge of an SVG would be drawn over its neighbour.
    return f"{100 * min(1.0, max(0.0, part / whole if whole else 0.0)):.2f}%"


class _Plot(NamedTuple):
    """Data to the chart's coordinates."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies."""
        # A single point has no extent to divide by.
        across, up = (self.x[1] - self.x[0]) or 1.0, (self.y[1] - self.y[0]) or 1.0
        left = _LEFT + (x - self.x[0]) / across * (WIDTH - _LEFT - _RIGHT)
        # From the bottom up, where SVG counts from the top down.
        top = HEIGHT - _BOTTOM - (y - self.y[0]) / up * (HEIGHT - _TOP - _BOTTOM)
        return round(left, 1), round(top, 1)


def _svg(title: str, parts: Sequence[str]) -> Markup:
    body = "".join(parts)
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    return Markup(f"{head}{body}</svg>")


def _frame(plot: _Plot, x_label: str, across: Sequence[float], up: Sequence[float]) -> str:
    parts = []
    for tick in up:
        _, top = plot.at(plot.x[0], tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{top}" y2="{top}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 7}" y="{top + 4}" text-anchor="end">{_short(tick)}</text>')
    for tick in across:
        left, _ = plot.at(tick, plot.y[0])
        parts.append(f'<text class="tick" x="{left}" y="{HEIGHT - 17}" text-anchor="middle">{_short(tick)}</text>')
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 2}" text-anchor="middle">{escape(x_label)}</text>')
    return "".join(parts)


def _path(plot: _Plot, line: Line) -> str:
    points = [plot.at(x, y) for x, y in line.points]
    coordinates = " ".join(f"{left},{top}" for left, top in points)
    dots = ""
    if 0 < len(points) <= 8:
        dots = "".join(f'<circle class="fill {escape(line.kind)}" cx="{x}" cy="{y}" r="3.5"/>' for x, y in points)
    return f'<polyline class="line {escape(line.kind)}" points="{coordinates}"/>{dots}'


def _names(plot: _Plot, drawn: Sequence[Line]) -> str:
    """Names at the ends of lines, pushed apart where they would meet."""
    ends = sorted((plot.at(*line.points[-1])[1], line) for line in drawn)
    parts, floor_ = [], 0.0
    for top, line in ends:
        # From the top down: a name that would touch the one above it is moved below.
        place = max(top + 4, floor_ + _LABEL_GAP)
        floor_ = place
        parts.append(
            f'<text class="name {escape(line.kind)}" x="{WIDTH - _RIGHT + 8}" y="{place}">{escape(line.name)}</text>'
        )
    return "".join(parts)


def _whole_ticks(low: float, high: float) -> tuple[float, ...]:
    if high - low <= 6:
        return tuple(float(at) for at in range(int(low), int(high) + 1))
    return tuple(tick for tick in ticks(low, high, 4) if low <= tick <= high)


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value / 1000:g}k"
    return f"{value:g}"
