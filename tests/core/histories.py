"""Random histories of one gateway: everything that can happen to it, in any order.

A history is a tuple of steps, each a plain value, so that a failing one can be read and repeated.
"""

from dataclasses import dataclass
from typing import assert_never

from hypothesis import strategies as st

from gateway.core.fact import Outcome, Started, TagKind
from gateway.core.model import Meter, Pacing, SupplyState
from tests.core.world import LEDGER_MS, M1, M2, World, entry, meter

ROSTER = (M1, M2, meter(3, dt="T2"))
PACING = Pacing(first_alone_ms=3_000, gap_ms=1_000, minute_max=2)
numbers = st.integers(1, len(ROSTER))


@dataclass(frozen=True)
class Pays:
    """A receipt; `n` is at, before or after what was said until then."""

    number: int
    after: int


@dataclass(frozen=True)
class Lists:
    """A list that names some accounts, some of them as cut for arrears."""

    paid: frozenset[int]
    cut: frozenset[int]


@dataclass(frozen=True)
class Rosters:
    """A site document that names some of the meters."""

    of: frozenset[int]


@dataclass(frozen=True)
class Reads:
    """A reading."""

    number: int
    state: SupplyState


@dataclass(frozen=True)
class Tags:
    """A hold or an isolation is placed or removed."""

    kind: TagKind
    number: int
    place: bool


@dataclass(frozen=True)
class Plans:
    """A tick."""


@dataclass(frozen=True)
class Ends:
    """The oldest command ends."""

    outcome: Outcome
    reads: SupplyState | None


@dataclass(frozen=True)
class Waits:
    """Time passes."""

    ms: int


@dataclass(frozen=True)
class Garbage:
    """Something comes that is no document."""


@dataclass(frozen=True)
class Restarts:
    """The process or the machine starts anew."""

    boot: bool


Step = Pays | Lists | Rosters | Reads | Tags | Plans | Ends | Waits | Garbage | Restarts
DOCUMENTS = (Pays, Lists, Rosters)
"""Only these can change a standing."""

steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Pays, numbers, st.integers(-2, 3)),
    st.builds(Lists, st.frozensets(numbers), st.frozensets(numbers)),
    st.builds(Rosters, st.frozensets(numbers)),
    st.builds(Reads, numbers, st.sampled_from(SupplyState)),
    st.builds(Reads, numbers, st.just(SupplyState.DISCONNECTED)),
    st.builds(Tags, st.sampled_from(TagKind), numbers, st.booleans()),
    st.builds(Plans),
    st.builds(Ends, st.sampled_from(Outcome), st.none() | st.sampled_from(SupplyState)),
    st.builds(Waits, st.sampled_from([0, 500, 3_000, 60_000, 300_000, 3_600_000])),
    st.builds(Garbage),
    st.builds(Restarts, st.booleans()),
)
histories: st.SearchStrategy[tuple[Step, ...]] = st.one_of(
    st.lists(steps, max_size=10), st.lists(steps, min_size=20, max_size=80)
).map(tuple)
"""Short ones, to which a failure shrinks, and long ones, in which much meets."""


def new_world() -> World:
    """Where every history begins: a site document and three open meters."""
    world = World(*ROSTER, pacing=PACING)
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
            world.site(*(one for one in ROSTER if int(one.account[1:]) in step.of))
        case Reads():
            world.reads(f"M{step.number}", step.state)
        case Tags():
            world.tags(step.kind, _target(step.kind, ROSTER[step.number - 1]), place=step.place)
        case Plans():
            world.plans()
        case Ends():
            if world.commands:
                world.ends(world.commands.pop(0), step.outcome, state=step.reads)
        case Waits():
            world.wait(step.ms)
        case Garbage():
            world.hand_in(b"x")
        case Restarts():
            world.reboots() if step.boot else world.restarts()
            world.record(Started(version="1"))
        case _:
            assert_never(step)


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
