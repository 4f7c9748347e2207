"""Sites and orders that contradict themselves: refused by name, with the place and the mend."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from gateway.core.documents import Site
from gateway.core.model import ProfileAbility
from gateway.core.orders import Act, Config, CutEntry, Disconnect, ForgetMeter, Hold, ReleaseForce
from gateway.core.records import Refused
from gateway.core.soundness import Unsound, check_order, check_site
from gateway.core.terms import (
    CheckMeter,
    Disconnection,
    Grace,
    Limits,
    Pacing,
    Transformer,
    Window,
)
from tests.core.cutting import lit
from tests.core.papers import LEDGER_MS, M1, M2, NOON_MS, STATION, cut, meter, order
from tests.core.world import World
from tests.signing import sign_order, sign_site

WITH_BOARDS = msgspec.structs.replace(
    STATION,
    profiles={
        **STATION.profiles,
        "board": ProfileAbility(
            switches=True, proves_serial=False, needs_switch_unit=True, channels=8
        ),
    },
)
ON_T2 = meter(3, dt="T2")
ON_BOARD = msgspec.structs.replace(
    meter(4, profile="board"), switch_unit=90, switch_channel=0, second_proof="sheet 7"
)


def check_meter(serial: str = "C1", unit: int = 100, **members: Any) -> CheckMeter:
    """A meter on the transformer itself."""
    whole = CheckMeter(serial=serial, profile="measures", bus="bus-1", unit=unit)
    return msgspec.structs.replace(whole, **members)


def dt(name: str, checked: CheckMeter | None = None) -> Transformer:
    return Transformer(id=name, check_meter=checked)


def window(weekdays: tuple[int, ...], start: str, end: str) -> Window:
    return Window(weekdays=weekdays, start=start, end=end)


def site(*transformers: Transformer, **terms: Any) -> Site:
    """A site of M1 and M2 on T1 and M3 on T2."""
    whole = Site(gateway="gw-1", seq=2, feeder="feeder-1", meters=(M1, M2, ON_T2))
    return msgspec.structs.replace(whole, transformers=transformers, **terms)


def protected(*windows: Window) -> Site:
    return site(disconnection=Disconnection(protected=windows))


def days(*days: str) -> Site:
    return site(disconnection=Disconnection(protected_days=days))


def on_channel(channel: int) -> Site:
    return site(meters=(M1, msgspec.structs.replace(ON_BOARD, switch_channel=channel)))


def permitting(*profiles: str) -> Site:
    return site(unproven_profiles=profiles)


T1, T2 = dt("T1"), dt("T2")
MORNING, NIGHT = window((1, 2), "00:00", "09:00"), window((1, 2), "22:00", "24:00")
SOUND: list[tuple[str, Site]] = [
    ("no transformer named", site()),
    ("all transformers named", site(T1, T2)),
    ("a transformer of another feeder", site(Transformer(id="T1", feeder="feeder-2"), T2)),
    ("a check meter on each", site(dt("T1", check_meter()), dt("T2", check_meter("C2", 101)))),
    ("no window", protected()),
    ("the whole week", protected(window((1, 2, 3, 4, 5, 6, 7), "00:00", "24:00"))),
    ("windows that touch", protected(MORNING, window((1,), "09:00", "10:00"), NIGHT)),
    ("windows of one hour on other days", protected(MORNING, window((3,), "00:00", "09:00"))),
    ("a window of one minute", protected(window((7,), "23:59", "24:00"))),
    ("a type that may be switched all the same", permitting("proves-serial")),
    ("the leap day of a leap year", days("2028-02-29", "2027-01-26")),
]


@pytest.mark.parametrize("site", [row[1] for row in SOUND], ids=[row[0] for row in SOUND])
def test_a_sound_site(site: Site) -> None:
    check_site(site, STATION)
    world = World(M1)
    assert world.hand_in(sign_site(site)) == "ACCEPTED"


def test_the_last_channel_of_a_board_is_one() -> None:
    check_site(on_channel(7), WITH_BOARDS)


def test_where_nobody_says_how_many_channels_a_board_has_any_is_taken() -> None:
    unbounded = msgspec.structs.replace(WITH_BOARDS.profiles["board"], channels=None)
    profiles = {**WITH_BOARDS.profiles, "board": unbounded}
    check_site(on_channel(63), msgspec.structs.replace(WITH_BOARDS, profiles=profiles))


WINDOW_0, WINDOW_1 = "disconnection.protected[0]", "disconnection.protected[1]"
DAY_1 = "disconnection.protected_days[1]"
UNSOUND: list[tuple[str, Site, str, str]] = [
    ("a transformer twice", site(T1, T2, T1), "DUPLICATE_DT",
     "transformers[2]: T1 is also transformers[0]"),
    ("a transformer without meters", site(T1, T2, dt("T3")), "UNUSED_DT",
     "transformers[2]: no meter of the roster is on T3; leave it out"),
    ("a DT that nobody names", site(T1), "UNKNOWN_DT",
     "meters[2].dt: T2 is not among the transformers; name it there"),
    ("a check meter that is a consumer's", site(dt("T1", check_meter("M2")), T2),
     "DUPLICATE_METER", "transformers[0].check_meter: meter M2 is also meters[1]"),
    ("a check meter of two transformers",
     site(dt("T1", check_meter()), dt("T2", check_meter(unit=101))), "DUPLICATE_METER",
     "transformers[1].check_meter: meter C1 is also transformers[0].check_meter"),
    ("a check meter at a consumer's address", site(dt("T1", check_meter(unit=1)), T2),
     "DUPLICATE_ADDRESS", "transformers[0].check_meter: unit 1 of bus bus-1 is also meters[0]"),
    ("a check meter on a bus that is not here",
     site(dt("T1", check_meter(bus="bus-9")), T2), "UNKNOWN_BUS",
     "transformers[0].check_meter.bus: bus-9 is not configured here (bus-1)"),
    ("a check meter of a type that is not here",
     site(dt("T1", check_meter(profile="new")), T2), "UNKNOWN_PROFILE",
     "transformers[0].check_meter.profile: new is not installed here (board, closes-only,"),
    ("a check meter of a type that is a board",
     site(dt("T1", check_meter(profile="board")), T2), "SWITCH_ADDRESS_MISSING",
     "transformers[0].check_meter: profile board "),
    ("a board at a check meter's address",
     site(dt("T1", check_meter(unit=90)), meters=(M1, ON_BOARD)), "DUPLICATE_ADDRESS",
     "meters[1].switch_unit: unit 90 of bus bus-1 is the meter of transformers[0].check_meter"),
    ("a channel that the board does not have", on_channel(8), "NO_SUCH_CHANNEL",
     "meters[1].switch_channel: 8, but the board of profile board has 0 to 7"),
    ("a permission for a type that is not on the roster", permitting("proves-serial", "board"),
     "UNUSED_PROFILE", "unproven_profiles[1]: no meter of the roster is a board; leave it out"),
    ("a permission twice", permitting("proves-serial", "proves-serial"), "DUPLICATE_PROFILE",
     "unproven_profiles[1]: proves-serial stands twice; leave one out"),
    ("a window that ends as it begins", protected(window((1,), "09:00", "09:00")),
     "EMPTY_WINDOW", f"{WINDOW_0}: 09:00 to 09:00 is no time; a night is two windows"),
    ("a window over midnight", protected(MORNING, window((5,), "22:00", "05:00")),
     "EMPTY_WINDOW", f"{WINDOW_1}: 22:00 to 05:00 is no time; a night is two windows"),
    ("windows that overlap by a minute", protected(MORNING, window((2, 3), "08:59", "10:00")),
     "OVERLAPPING_WINDOWS", f"{WINDOW_1}: 08:59 to 10:00 overlaps {WINDOW_0}; make one"),
    ("a window within another", protected(MORNING, window((1,), "02:00", "03:00")),
     "OVERLAPPING_WINDOWS", f"{WINDOW_1}: 02:00 to 03:00 overlaps {WINDOW_0}; make one"),
    ("a window around another", protected(window((1,), "02:00", "03:00"), MORNING),
     "OVERLAPPING_WINDOWS", f"{WINDOW_1}: 00:00 to 09:00 overlaps {WINDOW_0}; make one"),
    ("a weekday twice", protected(window((1, 1), "02:00", "03:00")),
     "OVERLAPPING_WINDOWS", f"{WINDOW_0}.weekdays: a day stands twice"),
    ("a leap day of no leap year", days("2028-02-29", "2027-02-29"), "NO_SUCH_DAY",
     f"{DAY_1}: there is no 2027-02-29; correct it"),
    ("a thirteenth month", days("2027-01-01", "2027-13-01"), "NO_SUCH_DAY",
     f"{DAY_1}: there is no 2027-13-01; correct it"),
    ("a day twice", days("2027-01-26", "2027-01-26"), "DUPLICATE_DAY",
     f"{DAY_1}: 2027-01-26 stands twice; leave one out"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("site", "name", "place"),
    [row[1:] for row in UNSOUND],
    ids=[f"{row[0]}: {row[2]}" for row in UNSOUND],
)
def test_an_unsound_site_is_refused_and_the_old_one_stays(
    site: Site, name: str, place: str
) -> None:
    with pytest.raises(Unsound) as refused:
        check_site(site, WITH_BOARDS)
    assert refused.value.name == name
    assert refused.value.detail.startswith(place)
    world = World(M1)
    world.image = msgspec.structs.replace(world.image, station=WITH_BOARDS)
    before = world.image.kept.site
    assert world.hand_in(sign_site(site)) == name
    assert world.image.kept.site == before


# --- what the schema already refuses ---

GRACE = Grace(after_h=1, cut_within_days=1, daily_max=1, hours=1)
LONG = msgspec.structs.replace(M1, account="9" * 33)


def guarded(*windows: Window) -> Mapping[str, Any]:
    return {"disconnection": Disconnection(protected=windows)}


CEILING = "Expected int >= 1"
OUT_OF_BOUNDS: list[tuple[str, Mapping[str, Any], str]] = [
    ("a ceiling of zero for openings", {"disconnection": Disconnection(hour_max=0)},
     f"disconnection.hour_max: {CEILING}"),
    ("a ceiling of zero for closes", {"pacing": Pacing(minute_max=0)},
     f"pacing.minute_max: {CEILING}"),
    ("a ceiling of zero for a DT", {"pacing": Pacing(dt_minute_max=0)},
     f"pacing.dt_minute_max: {CEILING}"),
    ("a ceiling of zero for a feeder", {"pacing": Pacing(feeder_minute_max=0)},
     f"pacing.feeder_minute_max: {CEILING}"),
    ("no grace a day", {"grace": msgspec.structs.replace(GRACE, daily_max=0)},
     f"grace.daily_max: {CEILING}"),
    ("no close within an hour", {"limits": Limits(retrip_max=0)}, f"limits.retrip_max: {CEILING}"),
    ("an account of 33 characters", {"meters": (M2, LONG)},
     "meters[1].account: not an account; write 1 to 32 of letters, digits, / _ . -"),
    ("an eighth weekday", guarded(window((8,), "00:00", "01:00")),
     "disconnection.protected[0].weekdays[0]: Expected int <= 7"),
    ("no weekday", guarded(window((), "00:00", "01:00")),
     "disconnection.protected[0].weekdays: Expected array of length >= 1"),
    ("a window from 24:00", guarded(window((1,), "24:00", "24:00")),
     "disconnection.protected[0].start: not a time of day; write 00:00 to 23:59"),
    ("a window until 24:01", guarded(window((1,), "00:00", "24:01")),
     "disconnection.protected[0].end: not a time of day; write 00:01 to 24:00"),
    ("a day in words", {"disconnection": Disconnection(protected_days=("Republic Day",))},
     "disconnection.protected_days[0]: not a day; write it as 2027-01-26"),
    ("a place beyond all time zones", {"disconnection": Disconnection(utc_offset_min=841)},
     "disconnection.utc_offset_min: Expected int <= 840"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "detail"),
    [row[1:] for row in OUT_OF_BOUNDS],
    ids=[row[0] for row in OUT_OF_BOUNDS],
)
def test_terms_out_of_bounds_are_refused_with_their_place(
    terms: Mapping[str, Any], detail: str
) -> None:
    world = World(M1)
    before = world.image.kept.site
    assert world.hand_in(sign_site(site(**terms))) == "MALFORMED_PAYLOAD"
    body = world.journal[-1][0].body
    assert isinstance(body, Refused)
    assert body.detail == detail
    assert world.image.kept.site == before


# --- orders ---


def cuts(*entries: tuple[str, str], n: int = LEDGER_MS) -> Disconnect:
    accounts = (CutEntry(account=account, meter=serial, n=n) for account, serial in entries)
    return Disconnect(accounts=tuple(accounts))


HOLD = Hold(meter="M1", reason="burnt terminal")
SOUND_ORDERS: list[tuple[str, Act]] = [
    ("a cut of two", cut(1, 2)),
    ("an account that is called like its meter", cuts(("77", "77"))),
    ("an account that is called like another's meter", cuts(("1", "2"), ("2", "1"))),
    ("a word of the order's own instant", cuts(("A1", "M1"), n=NOON_MS)),
    ("a release of two", ReleaseForce(meters=("M1", "M2"))),
]


@pytest.mark.parametrize("act", [row[1] for row in SOUND_ORDERS], ids=[r[0] for r in SOUND_ORDERS])
def test_a_sound_order(act: Act) -> None:
    check_order(order(1, act), STATION)


UNSOUND_ORDERS: list[tuple[str, Act, Mapping[str, Any], str, str]] = [
    ("an order for another gateway", HOLD, {"gateway": "gw-2"}, "WRONG_AUDIENCE",
     "it is for gateway gw-2, this is gw-1"),
    ("an order that ends as it begins", HOLD, {"exp": NOON_MS}, "EXPIRED_WHEN_ISSUED",
     f"exp {NOON_MS} is not after iat {NOON_MS}"),
    ("an account twice", cuts(("A1", "M1"), ("A2", "M2"), ("A1", "M3")), {}, "NAMED_TWICE",
     "args.accounts[2].account: A1 stands twice; name it once"),
    ("a meter twice", cuts(("A1", "M1"), ("A2", "M1")), {}, "NAMED_TWICE",
     "args.accounts[1].meter: M1 stands twice; name it once"),
    ("a release twice", ReleaseForce(meters=("M1", "M2", "M1")), {}, "NAMED_TWICE",
     "args.meters[2]: M1 stands twice; name it once"),
    ("a word that is yet to come", cuts(("A1", "M1"), n=NOON_MS + 1), {}, "N_AFTER_ISSUE",
     f"args.accounts[0].n: {NOON_MS + 1} is after iat {NOON_MS}"),
    ("a meter that is forgotten twice", ForgetMeter(meters=("M9", "M9")), {}, "NAMED_TWICE",
     "args.meters[1]: M9 stands twice; name it once"),
    ("a setting that none may be", Config(log_level="LOUD"), {}, "BAD_SETTING",
     "args.log_level: 'LOUD' is no level"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("act", "members", "name", "place"),
    [row[1:] for row in UNSOUND_ORDERS],
    ids=[f"{row[0]}: {row[3]}" for row in UNSOUND_ORDERS],
)
def test_an_unsound_order_counts_as_never_come(
    act: Act, members: Mapping[str, Any], name: str, place: str
) -> None:
    paper = order(1, act, **members)
    with pytest.raises(Unsound) as refused:
        check_order(paper, STATION)
    assert refused.value.name == name
    assert refused.value.detail.startswith(place)
    world = lit(M1, M2)
    assert world.hand_in(sign_order(paper)) == name
    assert isinstance(world.journal[-1][0].body, Refused)
    assert (world.image.kept.newest.order.seq, world.image.kept.tasks) == (0, {})
    assert world.hand_in(sign_order(order(1, HOLD))) == "ACCEPTED"
