"""The counts of the last quarter of an hour, and what they suggest."""

import pytest

from gateway.bus.hints import Sign, hints
from gateway.bus.rtu import Failure, Fault, Reply
from gateway.bus.tally import Counts, Quality, Tally, quality_words
from gateway.core.model import Serial

H1, H2, H3, H4 = (Serial(f"H{number}") for number in range(1, 5))
GOOD = Reply(values=(1,), sent_ms=0, heard_ms=20)
MINUTE_S = 60.0
ALL_GOOD = Counts(good=100)


def quality(**meters: Counts) -> Quality:
    """The whole of these meters."""
    whole = {
        name: sum(getattr(one, name) for one in meters.values())
        for name in Counts.__struct_fields__
    }
    by_meter = {Serial(name): one for name, one in meters.items()}
    return Quality(bus=Counts(**whole), meters=by_meter)


def signs(
    found: Quality, *, silent: tuple[Serial, ...] = (), echo: bool = False, meters: int = 3
) -> list[Sign]:
    return [hint.sign for hint in hints(found, meters=meters, silent=silent, echo=echo)]


def words(found: Quality, *, silent: tuple[Serial, ...] = (), meters: int = 3) -> str:
    (hint,) = hints(found, meters=meters, silent=silent, echo=False)
    return hint.words


def test_a_bus_that_fares_well_needs_no_hint() -> None:
    assert signs(quality(H1=ALL_GOOD, H2=ALL_GOOD)) == []


def test_a_bus_without_meters_needs_no_hint() -> None:
    assert signs(Quality(), meters=0) == []


def test_all_silent_is_about_the_whole_line() -> None:
    found = quality(H1=Counts(timeouts=5), H2=Counts(timeouts=5))
    assert signs(found, silent=(H1, H2), meters=2) == [Sign.ALL_SILENT]
    said = words(found, silent=(H1, H2), meters=2)
    assert "A and B swapped" in said
    assert "power" in said
    assert "termination" in said


def test_all_silent_but_noisy_is_about_speed_and_parity() -> None:
    found = quality(H1=Counts(crc_errors=9, timeouts=1))
    assert signs(found, silent=(H1,), meters=1) == [Sign.ALL_GARBLED]
    assert "baud rate and parity" in words(found, silent=(H1,), meters=1)


def test_one_silent_is_about_its_address_and_wiring() -> None:
    found = quality(H1=Counts(timeouts=5), H2=ALL_GOOD)
    assert signs(found, silent=(H1,)) == [Sign.SILENT]
    said = words(found, silent=(H1,))
    assert said == "meter H1 does not answer: look at address, wiring and power there"


def test_of_many_silent_ones_three_are_named() -> None:
    silent = (H1, H2, H3, H4)
    said = words(quality(H1=ALL_GOOD), silent=silent, meters=9)
    assert said.startswith("meters H1, H2, H3 and 1 more do not answer")


def test_crc_errors_everywhere_are_about_the_cable() -> None:
    found = quality(H1=Counts(good=90, crc_errors=10), H2=Counts(good=95, crc_errors=5))
    assert signs(found) == [Sign.CRC_ERRORS]
    said = words(found)
    assert said.startswith("CRC errors in 8% of what is heard, most of meters H1, H2")
    assert "termination, ground, baud rate" in said


def test_crc_errors_of_one_meter_are_about_that_meter() -> None:
    found = quality(H1=Counts(good=50, crc_errors=50), H2=Counts(good=99, crc_errors=1))
    assert signs(found) == [Sign.CRC_ERRORS_OF_ONE]
    assert "another meter has the same address" in words(found)


@pytest.mark.parametrize("crc_errors", [2, 9])
def test_a_few_crc_errors_are_chance(crc_errors: int) -> None:
    assert signs(quality(H1=Counts(good=1000, crc_errors=crc_errors))) == []


def test_crc_errors_are_judged_by_what_is_heard_not_by_what_is_silent() -> None:
    found = quality(H1=Counts(timeouts=1000), H2=Counts(good=50, crc_errors=5))
    assert Sign.CRC_ERRORS_OF_ONE in signs(found, silent=(H1,))


def test_late_answers_are_about_the_time_out() -> None:
    found = quality(H1=Counts(good=90, timeouts=10, late=5), H2=ALL_GOOD)
    assert signs(found) == [Sign.LATE]
    assert "meter H1" in words(found)
    assert "timing.timeout_ms" in words(found)


def test_frames_that_nobody_asked_for_are_about_a_second_speaker() -> None:
    found = quality(H1=Counts(good=90, mismatched=4))
    assert signs(found) == [Sign.FOREIGN_FRAMES]
    assert "second master" in words(found)


def test_a_meter_that_mostly_refuses_is_about_its_type() -> None:
    found = quality(H1=Counts(good=10, refused=40), H2=Counts(good=99, refused=1))
    assert signs(found) == [Sign.REFUSED]
    assert "meter H1" in words(found)


def test_an_echo_is_told_beside_everything_else() -> None:
    found = quality(H1=Counts(timeouts=5, echo=5), H2=ALL_GOOD)
    assert signs(found, silent=(H1,), echo=True) == [Sign.ECHO, Sign.SILENT]


@pytest.mark.parametrize(
    ("failure", "counted"),
    [
        (Failure.NO_ANSWER, Counts(timeouts=1)),
        (Failure.GARBLED, Counts(crc_errors=1)),
        (Failure.MISMATCHED, Counts(mismatched=1)),
        (Failure.EXCEPTION, Counts(refused=1)),
        (Failure.BUS_DOWN, Counts()),
        (Failure.WITHHELD, Counts()),
    ],
)
def test_every_end_of_an_exchange_is_counted_once(failure: Failure, counted: Counts) -> None:
    tally = Tally()
    tally.exchanged(H1, Fault(failure=failure), 0.0)
    assert tally.quality(0.0).bus == counted
    assert tally.quality(0.0).bus.exchanges == int(counted != Counts())


def test_counts_are_of_the_bus_and_of_each_meter() -> None:
    tally = Tally()
    tally.exchanged(H1, GOOD, 0.0)
    tally.exchanged(H2, GOOD, 1.0)
    tally.exchanged(H2, Fault(failure=Failure.NO_ANSWER), 2.0)
    tally.late(H2, 3.0)
    tally.echoed(H1, 3.0)
    found = tally.quality(4.0)
    assert found.bus == Counts(good=2, timeouts=1, late=1, echo=1)
    assert found.meters == {H1: Counts(good=1, echo=1), H2: Counts(good=1, timeouts=1, late=1)}
    assert found.bus.share(found.bus.timeouts) == pytest.approx(1 / 3)


def test_what_is_older_than_a_quarter_of_an_hour_is_forgotten() -> None:
    tally = Tally()
    tally.exchanged(H1, GOOD, 0.0)
    tally.exchanged(H2, GOOD, 10 * MINUTE_S)
    assert set(tally.quality(14 * MINUTE_S).meters) == {H1, H2}
    assert set(tally.quality(15 * MINUTE_S).meters) == {H2}
    assert tally.quality(25 * MINUTE_S) == Quality()


def test_the_worst_meters_are_those_with_the_largest_share_of_failures() -> None:
    found = quality(
        H1=Counts(good=90, crc_errors=10),
        H2=Counts(good=10, timeouts=10),
        H3=ALL_GOOD,
        H4=Counts(timeouts=1),
    )
    assert found.worst == (H4, H2, H1)


def test_a_quarter_of_an_hour_is_told_in_one_line() -> None:
    found = quality(H1=Counts(good=90, crc_errors=10, late=1), H2=Counts(good=100))
    assert quality_words(found) == (
        "200 exchanges, 95.0% good, 0.0% refused, 5.0% CRC errors, 0.0% time-outs, 0.0% of others; "
        "1 late, 0 echoed; failing most: H1 10%"
    )
