"""What orders ask of the gateway itself: settings on trial, a look around a bus, a bundle."""

from collections.abc import Callable

import msgspec
import pytest

from gateway.core.errands import (
    SCAN_MAX_MS,
    SCAN_PATIENCE_MS,
    SettingsStatus,
    admit_scan,
    scan_until,
    settings_status,
)
from gateway.core.fact import Road, ScanReport
from gateway.core.lifecycle import progress_of
from gateway.core.orders import Act, Cancel, Config, Confirm, Hold, LogBundle, Read, Scan
from gateway.core.progress import OrderState, Progress, Resident, Residents
from gateway.core.sequence import nonce_of
from gateway.core.settings import (
    CONFIRM_WITHIN_MS,
    Altered,
    BrokerChange,
    BrokerPlace,
    LogLevel,
    Settings,
)
from tests.core.papers import M1, order
from tests.core.world import World
from tests.signing import sign_order

HERE = BrokerPlace(host="mqtt.here", port=1883, keepalive_s=60)
INSTALLED = Settings(broker=HERE)
THERE = Config(broker=BrokerChange(host="mqtt.there"))
MOVED = Settings(broker=BrokerPlace(host="mqtt.there", port=1883, keepalive_s=60))
LOUD = Config(log_level="DEBUG")
MINUTE_MS = 60_000
Step = Callable[[World], object]


def linked(installed: Settings = INSTALLED) -> World:
    """A gateway with a broker, as its installer wrote it."""
    world = World(M1)
    world.image = msgspec.structs.replace(world.image, installed=installed)
    return world


def on_trial() -> World:
    """Its broker is to be another one, by `order-1`; nobody has confirmed that."""
    world = linked()
    assert world.ordered(THERE) == "ACCEPTED"
    return world


def known(world: World, order_id: str = "order-1") -> Progress:
    progress = progress_of(order_id, world.image)
    assert progress is not None
    return progress


def stands(world: World, order_id: str = "order-1") -> tuple[str, str]:
    """Where an order stands, and the word that says why."""
    progress = known(world, order_id)
    return str(progress.state), progress.reason


def starts_anew(world: World, again: Step, installed: Settings = INSTALLED) -> None:
    again(world)
    world.image = msgspec.structs.replace(world.image, installed=installed)
    world.plans()


def test_a_change_counts_at_once_and_for_good_once_it_is_confirmed_over_its_own_link() -> None:
    world = on_trial()
    assert world.image.settings == MOVED
    assert stands(world) == ("IN_PROGRESS", "")
    assert world.ordered(Confirm(order="order-1"), link="order-1") == "ACCEPTED"
    assert stands(world) == ("SUCCEEDED", "")
    assert stands(world, "order-2") == ("SUCCEEDED", "")
    world.wait(10 * CONFIRM_WITHIN_MS)
    assert world.plans().bodies == ()
    starts_anew(world, World.reboots)
    assert world.image.settings == MOVED


def test_nobody_confirms_it_and_it_is_taken_back_after_its_time() -> None:
    world = on_trial()
    deadline_ms = world.plans().deadline_ms
    assert deadline_ms is not None
    assert deadline_ms <= world.now.mono_ms + CONFIRM_WITHIN_MS
    world.wait(CONFIRM_WITHIN_MS - 1)
    world.plans()
    assert world.image.settings == MOVED
    world.wait(1)
    world.plans()
    assert world.image.settings == INSTALLED
    assert stands(world) == ("TIMED_OUT", "UNCONFIRMED")
    assert world.ordered(Confirm(order="order-1"), link="order-1") == "NOTHING_TO_CONFIRM"


@pytest.mark.parametrize("again", [World.restarts, World.reboots], ids=["process", "machine"])
def test_whatever_starts_anew_meanwhile_has_what_counted_before(again: Step) -> None:
    world = on_trial()
    world.wait(1)
    starts_anew(world, again)
    assert world.image.settings == INSTALLED
    assert stands(world) == ("TIMED_OUT", "RESTARTED")


def test_what_was_confirmed_before_is_what_counts_again() -> None:
    world = on_trial()
    assert world.ordered(Confirm(order="order-1"), link="order-1") == "ACCEPTED"
    assert world.ordered(LOUD, link="order-1") == "ACCEPTED"
    assert world.image.settings == msgspec.structs.replace(MOVED, log_level=LogLevel.DEBUG)
    world.wait(CONFIRM_WITHIN_MS)
    world.plans()
    assert world.image.settings == MOVED


def test_called_off_it_is_taken_back_at_once() -> None:
    world = on_trial()
    assert world.ordered(Cancel(order="order-1")) == "ACCEPTED"
    assert world.image.settings == INSTALLED
    assert stands(world) == ("CANCELED", "CANCELED")


def test_calling_off_another_order_leaves_it() -> None:
    world = on_trial()
    assert world.ordered(Read(meters=("M1",))) == "ACCEPTED"
    assert world.ordered(Cancel(order="order-2")) == "ACCEPTED"
    assert world.image.settings == MOVED


def test_the_end_of_another_order_leaves_it() -> None:
    world = on_trial()
    assert world.ordered(Read(meters=("M1",))) == "ACCEPTED"
    world.wait(CONFIRM_WITHIN_MS - 1)
    world.plans()
    assert stands(world, "order-2") == ("TIMED_OUT", "NO_ANSWER")
    assert world.image.settings == MOVED


def test_back_to_what_the_installer_wrote() -> None:
    world = on_trial()
    assert world.ordered(Confirm(order="order-1"), link="order-1") == "ACCEPTED"
    assert world.ordered(Config(reset=True)) == "ACCEPTED"
    assert world.image.settings == INSTALLED
    assert world.ordered(Confirm(order="order-3"), link="order-3") == "ACCEPTED"
    assert world.image.settings == INSTALLED
    assert settings_status(world.image, world.now) is None


def test_where_the_installer_has_moved_the_broker_since_his_word_counts() -> None:
    world = on_trial()
    assert world.ordered(Confirm(order="order-1"), link="order-1") == "ACCEPTED"
    newer = Settings(broker=BrokerPlace(host="mqtt.new", port=1883, keepalive_s=60))
    starts_anew(world, World.restarts, newer)
    assert world.image.settings == newer
    assert settings_status(world.image, world.now) is None


def nothing(_: World) -> None:
    """All is as it was installed."""


def is_tried(world: World) -> None:
    assert world.ordered(THERE) == "ACCEPTED"


REFUSED: list[tuple[str, Settings, Step, Act, str]] = [
    ("a setting that none may be", INSTALLED, nothing,
     Config(broker=BrokerChange(port=0)), "BAD_SETTING"),
    ("a broker where none is", Settings(), nothing, THERE, "BAD_SETTING"),
    ("what is so already", INSTALLED, nothing, Config(log_level="INFO"),
     "NOTHING_CHANGES"),
    ("nothing to take back", INSTALLED, nothing, Config(reset=True),
     "NOTHING_CHANGES"),
    ("a second change", INSTALLED, is_tried, LOUD, "CONFIG_UNDER_WAY"),
    ("a confirmation of nothing", INSTALLED, nothing, Confirm(order="order-1"),
     "NOTHING_TO_CONFIRM"),
    ("a confirmation of another", INSTALLED, is_tried, Confirm(order="order-9"),
     "NOTHING_TO_CONFIRM"),
    ("a confirmation over the old link", INSTALLED, is_tried, Confirm(order="order-1"),
     "OLD_LINK"),
    ("a scan of a bus of nobody here", INSTALLED, nothing, Scan(bus="Z"),
     "UNKNOWN_BUS"),
    ("a second scan", INSTALLED, lambda world: world.ordered(Scan(bus="bus-1")),
     Scan(bus="bus-1"), "SCAN_UNDER_WAY"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("installed", "step", "act", "name"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_refused_by_name(installed: Settings, step: Step, act: Act, name: str) -> None:
    world = linked(installed)
    step(world)
    before = world.image.settings
    assert world.ordered(act) == name
    assert world.image.settings == before


@pytest.mark.parametrize("act", [THERE, Confirm(order="order-1")], ids=["config", "confirm"])
def test_what_has_to_be_confirmed_over_the_link_does_not_come_by_hand(act: Act) -> None:
    world = linked()
    if isinstance(act, Confirm):
        assert world.ordered(THERE) == "ACCEPTED"
    paper = order(2, act, iat=world.now.wall_ms, boot=nonce_of(world.now))
    word = world.hand_in(sign_order(paper), Road.LOCAL, link="order-1")
    assert word == ("OLD_LINK" if isinstance(act, Confirm) else "ROAD_NOT_ALLOWED")


def test_the_status_says_what_is_not_as_it_was_installed_and_for_how_long() -> None:
    world = on_trial()
    world.wait(MINUTE_MS)
    moved = (Altered(name="broker.host", now="mqtt.there", installed="mqtt.here"),)
    trial = SettingsStatus(order="order-1", altered=moved, trial_ms=MINUTE_MS)
    assert settings_status(world.image, world.now) == trial
    assert world.ordered(Confirm(order="order-1"), link="order-1") == "ACCEPTED"
    for_good = SettingsStatus(order="order-1", altered=moved, trial_ms=None)
    assert settings_status(world.image, world.now) == for_good


def test_a_bundle_has_nothing_to_wait_for() -> None:
    world = linked()
    assert world.ordered(LogBundle()) == "ACCEPTED"
    assert stands(world) == ("SUCCEEDED", "")


# --- a look around a bus ---

FOUND = Residents(
    found=(Resident(unit=7, presence="ANSWERS", serial="M7", profile="proves-serial"),), silent=246
)


def looking() -> World:
    world = linked()
    assert world.ordered(Scan(bus="bus-1")) == "ACCEPTED"
    return world


def reports(world: World, report: ScanReport) -> bool:
    """The bus room has looked around; whether that was news."""
    body = admit_scan(report, world.image)
    if body is not None:
        world.record(body)
    return body is not None


def test_a_scan_ends_with_who_was_found_and_once() -> None:
    world = looking()
    assert stands(world) == ("IN_PROGRESS", "")
    until_ms = world.now.mono_ms + SCAN_MAX_MS
    assert scan_until("bus-1", world.image) == ("order-1", until_ms)
    assert scan_until("bus-2", world.image) is None
    report = ScanReport(order="order-1", result=FOUND)
    assert [reports(world, report), reports(world, report)] == [True, False]
    assert stands(world) == ("SUCCEEDED", "")
    assert known(world).result == FOUND
    assert scan_until("bus-1", world.image) is None


def test_a_scan_that_was_not_finished_says_so_with_what_it_has() -> None:
    world = looking()
    detail = "12 of 247 addresses were asked"
    report = ScanReport(order="order-1", result=FOUND, reason="NOT_IN_TIME", detail=detail)
    assert reports(world, report)
    progress = known(world)
    assert (progress.state, progress.detail, progress.result) == (
        OrderState.TIMED_OUT,
        detail,
        FOUND,
    )


def test_a_scan_of_no_order_or_of_another_kind_of_order_is_not_believed() -> None:
    world = linked()
    assert world.ordered(Read(meters=("M1",))) == "ACCEPTED"
    assert world.ordered(Hold(meter="M1", reason="burnt")) == "ACCEPTED"
    said = [ScanReport(order=f"order-{at}", result=FOUND) for at in (1, 2, 3)]
    assert [reports(world, report) for report in said] == [False, False, False]


def test_a_scan_that_nobody_ends_is_ended() -> None:
    world = looking()
    world.wait(SCAN_MAX_MS + SCAN_PATIENCE_MS - 1)
    world.plans()
    assert stands(world) == ("IN_PROGRESS", "")
    world.wait(1)
    world.plans()
    assert stands(world) == ("TIMED_OUT", "NOT_IN_TIME")


def test_a_scan_goes_on_after_a_restart_and_ends_with_the_boot() -> None:
    world = looking()
    starts_anew(world, World.restarts)
    assert stands(world) == ("IN_PROGRESS", "")
    starts_anew(world, World.reboots)
    assert stands(world) == ("TIMED_OUT", "RESTARTED")


def test_a_scan_that_is_called_off_ends() -> None:
    world = looking()
    assert world.ordered(Cancel(order="order-1")) == "ACCEPTED"
    assert stands(world) == ("CANCELED", "CANCELED")
    assert scan_until("bus-1", world.image) is None
