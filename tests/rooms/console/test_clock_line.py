"""The status says of the clock who answers for it, and within which bounds."""

import pytest

from gateway.console.status_words import CLOCKS, status_lines
from gateway.console.words import date_and_time
from gateway.core.image import Image
from gateway.core.model import GatewayId, Now, Station, TimeSource
from gateway.core.status import status_of
from tests.signing import ROOT

BLANK = Image(station=Station(gateway=GatewayId("gw-1"), buses=(), profiles={}), root=ROOT)
NOON_MS = 1_795_420_800_000


def clock_line(high_ms: int | None, source: TimeSource) -> str:
    now = Now(
        mono_ms=900_000,
        boot="boot-1",
        wall_ms=NOON_MS,
        wall_low_ms=NOON_MS - 16_000,
        wall_high_ms=high_ms,
        source=source,
    )
    return next(status_lines(status_of(BLANK, now))).partition("clock ")[2]


@pytest.mark.parametrize("source", [source for source in TimeSource if source != TimeSource.NONE])
def test_a_trusted_clock_names_its_source_and_its_width(source: TimeSource) -> None:
    said = clock_line(NOON_MS + 16_000, source)
    assert said == f"trusted within 00:32, {source}: {CLOCKS[source]}"


def test_an_unknown_clock_says_after_what_it_certainly_is() -> None:
    after = date_and_time(NOON_MS - 16_000)
    said = clock_line(None, TimeSource.NONE)
    assert said == f"not trusted: no time source has answered; certainly after {after}"


def test_who_has_been_taken_back_does_not_answer() -> None:
    assert clock_line(None, TimeSource.DOCUMENT).startswith("not trusted: no time source")
