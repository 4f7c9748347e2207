"""Settings that may be changed from afar: their bounds, and whose word about one counts."""

import pytest

from gateway.core.settings import (
    HOST_MAX,
    Altered,
    BrokerChange,
    BrokerPlace,
    Change,
    LogLevel,
    Overlay,
    Settings,
    altered,
    changed,
    flaws_of,
    laid_over,
)

HERE = BrokerPlace(host="mqtt.here", port=1883, keepalive_s=60)
THERE = BrokerPlace(host="mqtt.there", port=8883, keepalive_s=30)
INSTALLED = Settings(broker=HERE)
MOVED = Overlay(order="o-1", settings=Settings(broker=THERE), over=INSTALLED)


def moves(**members: object) -> Change:
    """A change of the broker's place."""
    return Change(broker=BrokerChange(**members))  # type: ignore[arg-type]


CHANGES: list[tuple[str, Settings, Change, Settings]] = [
    ("nothing", INSTALLED, Change(), INSTALLED),
    ("another host", INSTALLED, moves(host="b"),
     Settings(broker=BrokerPlace(host="b", port=1883, keepalive_s=60))),
    ("another port", INSTALLED, moves(port=1),
     Settings(broker=BrokerPlace(host="mqtt.here", port=1, keepalive_s=60))),
    ("another keepalive", INSTALLED, moves(keepalive_s=5),
     Settings(broker=BrokerPlace(host="mqtt.here", port=1883, keepalive_s=5))),
    ("another level", INSTALLED, Change(log_level="DEBUG"),
     Settings(broker=HERE, log_level=LogLevel.DEBUG)),
    ("a broker where there is none", Settings(), moves(host="b"), Settings()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "change", "after"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_a_change_changes_what_it_names(before: Settings, change: Change, after: Settings) -> None:
    assert changed(before, change) == after


FLAWS: list[tuple[str, Change, str]] = [
    ("nothing at all", Change(), "args: nothing is to change; give broker, log_level or reset"),
    ("nothing of the broker", moves(), "args: nothing is to change; give broker, log_level or"),
    ("a host with its port", moves(host="b:1883"), "args.broker.host: 'b:1883' is neither a host"),
    ("a host of nothing", moves(host=""), "args.broker.host: '' is neither a host name nor"),
    ("a host without end", moves(host="b" * (HOST_MAX + 1)), "args.broker.host: 'bbb"),
    ("port 0", moves(port=0), "args.broker.port: 0 is no port; give one from 1 to 65535"),
    ("a port beyond all", moves(port=65_536), "args.broker.port: 65536 is no port; give one"),
    ("a keepalive of 4 s", moves(keepalive_s=4),
     "args.broker.keepalive_s: 4 is out of bounds; give 5 to 3600 seconds"),
    ("a keepalive of hours", moves(keepalive_s=3_601), "args.broker.keepalive_s: 3601 is out of"),
    ("a level of nobody", Change(log_level="LOUD"),
     "args.log_level: 'LOUD' is no level; give one of DEBUG, INFO, WARNING, ERROR"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"), [row[1:] for row in FLAWS], ids=[row[0] for row in FLAWS]
)
def test_what_no_setting_may_be_is_said_with_place_and_mend(change: Change, said: str) -> None:
    (flaw,) = flaws_of(change, reset=False)
    assert flaw.startswith(said)


@pytest.mark.parametrize("host", ["mqtt.here", "10.1.2.3", "fe80::1", "::1", "b" * HOST_MAX])
def test_within_their_bounds_they_are_taken(host: str) -> None:
    change = Change(
        broker=BrokerChange(host=host, port=65_535, keepalive_s=3_600), log_level="ERROR"
    )
    assert list(flaws_of(change, reset=False)) == []


def test_to_take_back_all_is_a_change_too() -> None:
    assert list(flaws_of(Change(), reset=True)) == []


LOUD = Settings(broker=HERE, log_level=LogLevel.DEBUG)
ELSEWHERE = BrokerPlace(host="mqtt.new", port=1883, keepalive_s=60)
LAID: list[tuple[str, Settings, Overlay | None, Settings]] = [
    ("nothing was changed", INSTALLED, None, INSTALLED),
    ("what was changed counts", INSTALLED, MOVED, Settings(broker=THERE)),
    ("the installer has moved the broker since", Settings(broker=ELSEWHERE), MOVED,
     Settings(broker=ELSEWHERE)),
    ("the installer has taken the broker away", Settings(), MOVED, Settings()),
    ("the installer has changed the level since", LOUD, MOVED,
     Settings(broker=THERE, log_level=LogLevel.DEBUG)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("installed", "overlay", "counts"), [row[1:] for row in LAID], ids=[row[0] for row in LAID]
)
def test_of_two_words_about_one_part_the_newer_counts(
    installed: Settings, overlay: Overlay | None, counts: Settings
) -> None:
    assert laid_over(installed, overlay) == counts


def test_what_differs_is_said_setting_by_setting() -> None:
    assert list(altered(INSTALLED, INSTALLED)) == []
    quiet = Settings(broker=THERE, log_level=LogLevel.ERROR)
    assert list(altered(quiet, INSTALLED)) == [
        Altered(name="broker.host", now="mqtt.there", installed="mqtt.here"),
        Altered(name="broker.keepalive_s", now="30", installed="60"),
        Altered(name="broker.port", now="8883", installed="1883"),
        Altered(name="log_level", now="ERROR", installed="INFO"),
    ]
