"""One picture of the speeds: every master in every cell, against the wire limit."""

from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from tests.bench.bus.figures import Figures, SpeedFigure
from tests.bench.bus.table import BROKEN, LABELS

LABEL_WIDTH: Final = 230
PANEL_WIDTH: Final = 380
PANEL_GAP: Final = 30
ROW_HEIGHT: Final = 34
TOP: Final = 104
BOTTOM: Final = 74
AIM: Final = 0.985
STEP: Final = 0.05
RADII: Final = {5: 3.0, 20: 4.5, 50: 6.0}
KEPT, BROKE, INK, PALE = "#1b6e53", "#c0392b", "#222222", "#cccccc"


def svg(figures: Figures) -> str:
    """The picture as an SVG document."""
    return "\n".join(_lines(figures)) + "\n"


def _lines(figures: Figures) -> Iterator[str]:
    bauds = sorted({cell.baud for cell in figures.cells})
    width = LABEL_WIDTH + len(bauds) * (PANEL_WIDTH + PANEL_GAP)
    height = TOP + len(figures.masters) * ROW_HEIGHT + BOTTOM
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" fill="{INK}">'
    )
    yield f'<rect width="{width}" height="{height}" fill="white"/>'
    yield _text(16, 26, "Modbus RTU masters against the wire limit", size=16)
    yield _text(16, 46, "filled: kept the silence of 3.5 characters; hollow: broke into it")
    yield _text(16, 62, "small, middle, large: 5, 20, 50 ms turnaround; dashed: the aim")
    for row, master in enumerate(figures.masters):
        yield _text(16, _row_y(row) + 4, f"{LABELS[master]}")
    least, most = _range(figures)
    for place, baud in enumerate(bauds):
        left = LABEL_WIDTH + place * (PANEL_WIDTH + PANEL_GAP)
        scale = PANEL_WIDTH / (most - least)
        yield from _panel(figures, baud, left, least, most, scale)
    yield _text(16, height - 14, f"{figures.machine}; {figures.date}", size=10)
    yield "</svg>"


def _panel(
    figures: Figures, baud: int, left: float, least: float, most: float, scale: float
) -> Iterator[str]:
    foot = _row_y(len(figures.masters)) - ROW_HEIGHT / 2
    yield _text(left, TOP - 16, f"{baud} baud", size=13)
    steps = round((most - least) / STEP)
    for step in range(steps + 1):
        share = least + step * STEP
        x = left + (share - least) * scale
        color = INK if abs(share - 1) < STEP / 2 else PALE
        yield _upright(x, foot, color)
        yield _text(x, foot + 18, f"{share:.2f}", anchor="middle")
    yield _upright(left + (AIM - least) * scale, foot, KEPT, dashed=True)
    for row, master in enumerate(figures.masters):
        for one in figures.of(master):
            if one.cell.baud == baud:
                yield _dot(one, left + (one.speed.share - least) * scale, _row_y(row))
    yield _text(left + PANEL_WIDTH / 2, foot + 38, "share of the wire limit", anchor="middle")


def _range(figures: Figures) -> tuple[float, float]:
    shares = [one.speed.share for one in figures.speeds]
    least = int(min(*shares, 0.9) / STEP) * STEP
    return least, (int(max(*shares, 1.0) / STEP) + 1) * STEP


def _row_y(row: int) -> float:
    return TOP + (row + 0.5) * ROW_HEIGHT


def _dot(one: SpeedFigure, x: float, y: float) -> str:
    broke = one.speed.breaches > BROKEN * one.speed.requests
    color = BROKE if broke else KEPT
    radius = RADII.get(one.cell.turnaround_ms, 4.5)
    title = f"{LABELS[one.master]}, {one.cell}: {one.speed.share:.3f}"
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" stroke="{color}" '
        f'fill="{"none" if broke else color}" fill-opacity="0.6"><title>{escape(title)}</title>'
        "</circle>"
    )


def _upright(x: float, foot: float, color: str, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{foot:.1f}" stroke="{color}"{dashes}/>'


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
