"""Random histories of one gateway: everything that can happen to it, in any order."""

from typing import assert_never

from hypothesis import strategies as st

from gateway.core.fact import Move, Origin, Outcome, TagKind
from gateway.core.model import Cause, Meter, SupplyState
from gateway.core.orders import (
    Act,
    Cancel,
    EndIsolation,
    Hold,
    Isolate,
    Read,
    Reconnect,
    ReleaseForce,
    ReleaseHold,
    Resume,
)
from gateway.core.records import Started
from gateway.core.standing import Standing
from gateway.core.terms import CheckMeter, Disconnection, Grace, Pacing, Transformer
from gateway.core.trust import Role
from tests.core.papers import LEDGER_MS, M1, M2, cut, entry, meter
from tests.core.steps import (
    Asks,
    Ends,
    Garbage,
    Hears,
    Lists,
    Measures,
    Orders,
    Ordinary,
    Pays,
    Plans,
    Reads,
    Restarts,
    Rosters,
    Says,
    Step,
    Tags,
    TrustsNoClock,
    Waits,
    Works,
)
from tests.core.world import World
from tests.signing import KEYS, key

ROSTER = (M1, M2, meter(3, dt="T2"))
PACING = Pacing(first_alone_ms=3_000, gap_ms=1_000, minute_max=2, cool_down_ms=60_000)
DISCONNECTION = Disconnection(hour_max=2, gap_ms=1_000, protected=())
GRACE = Grace(after_h=1, cut_within_days=1, daily_max=2, hours=4)
CHECK = CheckMeter(serial="C1", profile="measures", bus="bus-1", unit=90)
TRANSFORMERS = (Transformer(id="T1", check_meter=CHECK), Transformer(id="T2"))
ORDER_KEYS = (*KEYS.orders, key("order-3", Role.ORDER))
"""The last one is no key of the root."""
numbers = st.integers(1, len(ROSTER))


DOCUMENTS = (Pays, Lists, Rosters, Orders, Ordinary)
"""Only these can change a standing."""
_BADLY = (Outcome.REFUSED, Outcome.FAILED, Outcome.UNKNOWN)
OUTCOMES = {
    Move.CLOSE: (
        Outcome.CLOSED_VERIFIED,
        Outcome.ARMED,
        Outcome.CLOSED_UNVERIFIED,
        *_BADLY,
    ),
    Move.OPEN: (Outcome.OPENED_VERIFIED, Outcome.OPENED_UNVERIFIED, *_BADLY),
    Move.RELEASE: (Outcome.RELEASED, *_BADLY),
}
_reason = "because"
acts: st.SearchStrategy[Act] = st.one_of(
    st.builds(Hold, meter=numbers.map("M{}".format), reason=st.just(_reason)),
    st.builds(ReleaseHold, meter=numbers.map("M{}".format), reason=st.just(_reason)),
    st.builds(Isolate, dt=st.sampled_from([None, "T1", "T2"]), reason=st.just(_reason)),
    st.builds(EndIsolation, dt=st.sampled_from([None, "T1", "T2"]), reason=st.just(_reason)),
    st.builds(Resume, dt=st.sampled_from(["T1", "T2"]), reason=st.just(_reason)),
    st.builds(Cancel, order=st.integers(1, 6).map("order-{}".format)),
    st.builds(
        ReleaseForce,
        meters=st.lists(numbers.map("M{}".format), min_size=1, max_size=2, unique=True).map(tuple),
    ),
    numbers.map(lambda at: Reconnect(account=f"A{at}", meter=f"M{at}")),
    st.builds(
        Read,
        meters=st.lists(numbers.map("M{}".format), min_size=1, max_size=2, unique=True).map(tuple),
    ),
)

steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Pays, numbers, st.integers(-2, 3)),
    st.builds(Lists, st.frozensets(numbers), st.frozensets(numbers)),
    st.builds(Rosters, st.frozensets(numbers)),
    st.builds(
        Orders,
        st.frozensets(numbers, min_size=1),
        st.integers(-1, 3),
        st.lists(st.integers(0, 2), min_size=1, max_size=3).map(tuple),
        st.booleans(),
    ),
    st.builds(Orders, st.frozensets(numbers, min_size=1), st.just(1), st.just((0, 1))),
    st.builds(Orders, st.frozensets(numbers, min_size=1), st.just(1), st.just((0, 1))),
    st.builds(Ordinary),
    st.builds(Ordinary),
    st.builds(Works),
    st.builds(Works),
    st.builds(Asks, acts),
    st.builds(Hears, st.booleans(), st.booleans()),
    st.builds(Hears, st.just(True), st.just(False)),
    st.builds(Says, numbers, st.none() | st.sampled_from(Cause)),
    st.builds(Measures, st.sampled_from([180, 230])),
    st.builds(Reads, numbers, st.sampled_from(SupplyState)),
    st.builds(
        Reads,
        numbers,
        st.just(SupplyState.DISCONNECTED),
        st.none() | st.sampled_from([Cause.PREPAY, Cause.TRIP, Cause.POWER_UP]),
    ),
    st.builds(Reads, numbers, st.just(SupplyState.CONNECTED)),
    st.builds(Tags, st.sampled_from(TagKind), numbers, st.booleans(), st.sampled_from(Origin)),
    st.builds(Plans),
    st.builds(
        Ends,
        st.integers(0, 5),
        st.none() | st.sampled_from(SupplyState),
        st.integers(0, 2),
    ),
    st.builds(Waits, st.sampled_from([0, 500, 3_000, 60_000, 300_000, 3_600_000])),
    st.builds(Garbage),
    st.builds(Restarts, st.booleans()),
    st.builds(TrustsNoClock),
)
_LIT = (Reads(1, SupplyState.CONNECTED), Reads(2, SupplyState.CONNECTED), Ordinary())
_CUT = (*_LIT, Orders(frozenset({1, 2}), 1, (0, 1)), Works(), Waits(3_000), Works())
_SILENCE = (Hears(online=False, kept_by_broker=False), Plans(), Waits(7_200_000))
_GRACE = (Reads(1, SupplyState.DISCONNECTED), Works(), Waits(60_000))
preludes: st.SearchStrategy[tuple[Step, ...]] = st.sampled_from(
    [(), _CUT, (*_CUT, *_SILENCE), (*_CUT, *_SILENCE, *_GRACE)]
)
"""So that what is rare is met too: homes that were cut, and a head end that is gone."""
_any_order = st.lists(steps, max_size=10) | st.lists(steps, min_size=20, max_size=60)
histories: st.SearchStrategy[tuple[Step, ...]] = st.builds(
    lambda first, then: (*first, *then), preludes, _any_order
)
"""Short ones, to which a failure shrinks, and long ones, in which much meets."""


def new_world() -> World:
    """Where every history begins: a site document and three open meters."""
    world = World(
        *ROSTER,
        pacing=PACING,
        disconnection=DISCONNECTION,
        grace=GRACE,
        transformers=TRANSFORMERS,
    )
    for one in ROSTER:
        world.reads(one.serial, SupplyState.DISCONNECTED)
    return world


def take(world: World, step: Step) -> None:
    """Let one step happen."""
    match step:
        case Pays():
            world.pays(step.number, _said_until_now(world) + step.after)
        case Lists():
            _list(world, step)
        case Rosters():
            _roster(world, step)
        case Orders():
            act = cut(*sorted(step.cut), n=_said_until_now(world) + step.after)
            world.ordered(act, *(ORDER_KEYS[at] for at in step.keys), retained=step.retained)
        case Asks():
            world.ordered(step.act)
        case Garbage():
            world.hand_in(b"x")
        case Ordinary():
            _ordinary(world)
        case _:
            _take_what_is_seen(world, step)


def _take_what_is_seen(
    world: World,
    step: Hears
    | Says
    | Measures
    | Reads
    | Tags
    | Plans
    | Ends
    | Works
    | Waits
    | Restarts
    | TrustsNoClock,
) -> None:
    match step:
        case Hears():
            world.hears(online=step.online, kept_by_broker=step.kept_by_broker)
        case Says(cause=None):
            world.resumes(ROSTER[step.number - 1].dt)
        case Says():
            assert step.cause is not None
            world.says(step.cause, on=f"M{step.number}")
        case Measures():
            world.measures(CHECK.serial, step.volts * 1_000)
        case Reads():
            world.reads(f"M{step.number}", step.state, cause=step.cause)
        case Tags():
            target = _target(step.kind, ROSTER[step.number - 1])
            world.tags(step.kind, target, place=step.place, origin=step.origin)
        case Plans():
            world.plans()
        case Ends():
            if world.commands:
                command = world.commands.pop(0)
                outcomes = OUTCOMES[command.move]
                outcome = outcomes[step.at % len(outcomes)]
                world.ends(command, outcome, state=step.reads, writes=step.writes)
        case Works():
            world.plans()
            while world.commands:
                _ends_well(world)
        case Waits():
            world.wait(step.ms)
        case Restarts():
            world.reboots() if step.boot else world.restarts()
            world.record(Started(version="1"))
        case TrustsNoClock():
            world.trusts_no_clock()
        case _:
            assert_never(step)


def _ends_well(world: World) -> None:
    command = world.commands.pop(0)
    closes = command.move is Move.CLOSE
    state = SupplyState.CONNECTED if closes else SupplyState.DISCONNECTED
    world.ends(command, state=state, forced=command.meter.serial == "M1" and closes)


def _ordinary(world: World) -> None:
    world.hears()
    paid = set()
    for number, one in enumerate(ROSTER, start=1):
        supply = world.image.kept.supply.get(one.serial)
        world.reads(one.serial, SupplyState.CONNECTED if supply is None else supply.state)
        if world.standing(one.account) is Standing.PAID:
            paid.add(number)
    _list(world, Lists(frozenset(paid), frozenset()))


def _roster(world: World, step: Rosters) -> None:
    meters = tuple(one for one in ROSTER if int(one.account[1:]) in step.of)
    dts = {one.dt for one in meters}
    named = tuple(one for one in TRANSFORMERS if one.id in dts)
    world.site(*meters, transformers=named)


def _list(world: World, step: Lists) -> None:
    # The ledger's own words: who was paid before keeps his n, who was not has a new one.
    following = _said_until_now(world) + 2
    entries = []
    for number in sorted(step.paid):
        word = world.image.word(f"A{number}")
        known = word is not None and word.standing == "PAID"
        n = _counted(word.n) if known and word is not None else following - 1
        entries.append(entry(number, n, cut=number in step.cut))
    world.lists(following, *entries)


def _said_until_now(world: World) -> int:
    kept = world.image.kept
    said = [_counted(word.n) for word in kept.words.values()]
    if kept.list_in_force is not None:
        said.append(_counted(kept.list_in_force.as_of))
    return max(said, default=10)


def _counted(n: int) -> int:
    return n - LEDGER_MS


def _target(kind: TagKind, on: Meter) -> str:
    match kind:
        case TagKind.HOLD:
            return on.serial
        case TagKind.ISOLATE_DT:
            return on.dt
        case TagKind.ISOLATE_FEEDER:
            return ""
        case _:
            assert_never(kind)
