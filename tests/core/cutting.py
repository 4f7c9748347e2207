"""What the tests of disconnection speak with: a home that may be cut, and what may stand against.

A step changes the world, a flaw changes the world or what the order asked; both are sentences.
"""

from collections.abc import Callable

import msgspec

from gateway.core.disconnection import LIFE_MAX_MS, OpenVerdict
from gateway.core.fact import Move, Outcome, SwitchCommand
from gateway.core.image import Degraded, with_kept
from gateway.core.kept import Task
from gateway.core.marks import Mark
from gateway.core.model import Meter, SupplyState
from gateway.core.orders import Act, ReleaseForce
from gateway.core.records import TaskEnded
from gateway.core.sequence import nonce_of
from gateway.core.terms import Disconnection
from gateway.utility.sign import SigningKey
from tests.core.papers import (
    HOUR_MS,
    M1,
    M2,
    MINUTE_MS,
    STATION,
    allow_list,
    cut,
    entry,
    meter,
    order,
)
from tests.core.world import World
from tests.signing import KEYS, sign_order

OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED
M3 = meter(3)
ANYTIME = Disconnection(protected=())
ONE_KEY = KEYS.orders[:1]
ACTS: dict[Move, Act] = {Move.OPEN: cut(1), Move.RELEASE: ReleaseForce(meters=("M1",))}
MONDAY = "2026-11-23"
"""The local day of the tests' noon, on which it is 13:30."""
Step = Callable[[World], object]


def lit(*meters: Meter, terms: Disconnection = ANYTIME) -> World:
    """A world in which these homes have supply, a fresh list, and a head end that is heard.

    All are paid as of 10, and nothing forbids that they are cut as of 100.
    """
    world = World(*meters, disconnection=terms)
    paid = (entry(int(one.account[1:]), 10, serial=one.serial) for one in meters)
    assert world.lists(50, *paid) == "ACCEPTED"
    world.hears()
    world.plans()
    for one in meters:
        world.reads(one.serial, CLOSED)
    return world


def forces(world: World, on: Meter = M1) -> None:
    """A close of ours forces this meter; that was no business of pacing."""
    world.image = with_kept(world.image, forced=(*world.image.kept.forced, on.serial))


def comes(
    world: World,
    act: Act,
    *by: SigningKey,
    age_ms: int = 0,
    life_ms: int = 600_000,
    boot: str | None = None,
) -> str:
    """An order comes that was issued so long ago and is valid for so long; the answer's word."""
    world.orders += 1
    issued_ms = world.now.wall_ms - age_ms
    paper = order(world.orders, act, iat=issued_ms, exp=issued_ms + life_ms, boot=boot)
    return world.hand_in(sign_order(paper, *by))


def ordered(move: Move = Move.OPEN, *, boot: bool = False) -> World:
    """An order for M1 is accepted and waits; nothing has been begun."""
    world = lit(M1, M2, M3)
    forces(world)
    assert comes(world, ACTS[move], boot=nonce_of(world.now) if boot else None) == "ACCEPTED"
    return world


def begun(move: Move = Move.OPEN) -> World:
    """The switch of M1 was told to move; the write has not gone out."""
    world = ordered(move)
    assert begins(world).move is move
    return world


def begins(world: World) -> SwitchCommand:
    """One switch is told to move."""
    (command,) = world.plans().commands
    return command


def is_cut(world: World, number: int, n: int = 100) -> None:
    """One home is cut, from the order to the reading."""
    assert world.ordered(cut(number, n=n)) == "ACCEPTED"
    assert world.ends(begins(world), state=OPEN)


def last_task(world: World) -> TaskEnded:
    """How the last opening or release ended."""
    bodies = [record.body for record, _ in world.journal]
    return next(body for body in reversed(bodies) if isinstance(body, TaskEnded))


def ended_as(world: World) -> tuple[Outcome, str]:
    """The outcome of the last opening or release, and the rule's word."""
    body = last_task(world)
    return body.outcome, body.verdict


# --- what may stand against it ---


def nothing(world: World) -> None:
    """All is as it should be."""


def leaves_the_roster(world: World) -> None:
    world.site(M2, M3)


def is_changed(world: World, **members: object) -> None:
    """A site document comes that says something else of M1."""
    roster = {**world.image.roster}
    roster["M1"] = msgspec.structs.replace(roster["M1"], **members)
    assert world.site(*roster.values()) == "ACCEPTED"


def moves_to_another_account(world: World) -> None:
    is_changed(world, account="A9")


def newer_documents_were_lost(world: World) -> None:
    newest = msgspec.structs.replace(world.image.kept.newest, list=Mark(seq=99))
    world.image = with_kept(world.image, newest=newest)


def disk_takes_nothing(world: World) -> None:
    degraded = Degraded(trouble="DISK_FULL", since_ms=world.now.mono_ms, held=0)
    world.image = msgspec.structs.replace(world.image, degraded=degraded)


def list_goes_stale(world: World) -> None:
    seq = 1 if world.image.kept.list_in_force is None else world.image.kept.list_in_force.seq + 1
    stale_after = world.now.wall_low_ms - 1
    listed = [entry(number, 10) for number in (1, 2, 3)]
    assert world.gets(allow_list(seq, 60, *listed, stale_after=stale_after)) == "ACCEPTED"


def pays(world: World) -> None:
    assert world.pays(1, 200) == "ACCEPTED"


def is_listed_as_paid(world: World) -> None:
    assert world.lists(300, entry(1, 200), entry(2, 10), entry(3, 10)) == "ACCEPTED"


def cannot_be_read(world: World) -> None:
    world.reads("M1", SupplyState.UNKNOWN)


def head_end_goes(world: World) -> None:
    world.hears(online=False)


def close_failed(world: World) -> None:
    world.closed_before(M1, Outcome.FAILED)


def close_succeeded(world: World) -> None:
    world.closed_before(M1)


def type_changes(world: World, **abilities: bool) -> None:
    """The station drives M1's type otherwise than before."""
    known = world.image.station.profiles
    changed = msgspec.structs.replace(known[M1.profile], **abilities)
    station = msgspec.structs.replace(STATION, profiles={**known, M1.profile: changed})
    world.image = msgspec.structs.replace(world.image, station=station)


def type_cannot_close(world: World) -> None:
    type_changes(world, switches=False)


def type_cannot_open(world: World) -> None:
    type_changes(world, opens=False)


def type_cannot_release(world: World) -> None:
    type_changes(world, releases=False)


def type_is_unnamed(world: World) -> None:
    type_changes(world, proves_serial=False)


def sets_terms(world: World, **terms: object) -> None:
    """A site document comes with other terms of disconnection."""
    changed = msgspec.structs.replace(world.image.disconnection, **terms)
    assert world.site(*world.image.roster.values(), disconnection=changed) == "ACCEPTED"


def day_is_protected(world: World) -> None:
    sets_terms(world, protected_days=(MONDAY,))


def is_protected(world: World) -> None:
    is_changed(world, protected=True)


def neighbour_was_cut(world: World) -> None:
    if not world.image.kept.moved:
        is_cut(world, 2)


def ceiling_is_used_up(world: World) -> None:
    neighbour_was_cut(world)
    sets_terms(world, hour_max=1)


def was_never_forced(world: World) -> None:
    world.image = with_kept(world.image, forced=())


def trusts_no_clock(world: World) -> None:
    world.trusts_no_clock()


Flaw = Callable[[World, Task], Task]


def to_the_world(step: Step) -> Flaw:
    """A step as a flaw that leaves what was asked as it is."""

    def flawed(world: World, task: Task) -> Task:
        step(world)
        return task

    return flawed


def canceled(_: World, task: Task) -> Task:
    return msgspec.structs.replace(task, cancelled=True)


def one_key(_: World, task: Task) -> Task:
    return msgspec.structs.replace(task, signers=1)


def too_long_a_life(_: World, task: Task) -> Task:
    return msgspec.structs.replace(task, iat=task.exp - LIFE_MAX_MS - 1)


def too_late(world: World, task: Task) -> Task:
    exp = world.now.wall_low_ms - 1
    return msgspec.structs.replace(task, iat=exp - MINUTE_MS, exp=exp)


def too_early(world: World, task: Task) -> Task:
    iat = world.now.wall_ms + HOUR_MS
    return msgspec.structs.replace(task, iat=iat, exp=iat + MINUTE_MS)


def no_clock(world: World, task: Task) -> Task:
    world.trusts_no_clock()
    return msgspec.structs.replace(task, boot=None)


_FIRST: tuple[tuple[OpenVerdict, Flaw], ...] = (
    (OpenVerdict.CANCELED, canceled),
    (OpenVerdict.NOT_ON_ROSTER, to_the_world(moves_to_another_account)),
    (OpenVerdict.SECOND_KEY_MISSING, one_key),
    (OpenVerdict.LIFE_TOO_LONG, too_long_a_life),
    (OpenVerdict.EXPIRED, too_late),
    (OpenVerdict.NOT_YET_VALID, too_early),
    (OpenVerdict.CLOCK_UNKNOWN, no_clock),
    (OpenVerdict.MEMORY_LOST, to_the_world(newer_documents_were_lost)),
    (OpenVerdict.JOURNAL_DEGRADED, to_the_world(disk_takes_nothing)),
    (OpenVerdict.LIST_STALE, to_the_world(list_goes_stale)),
)
_THEN: tuple[tuple[OpenVerdict, Flaw], ...] = (
    (OpenVerdict.NOT_REACHED, to_the_world(cannot_be_read)),
    (OpenVerdict.HEAD_END_SILENT, to_the_world(head_end_goes)),
    (OpenVerdict.CLOSE_UNPROVEN, to_the_world(close_failed)),
)
_LAST: tuple[tuple[OpenVerdict, Flaw], ...] = (
    (OpenVerdict.PROTECTED_TIME, to_the_world(day_is_protected)),
    (OpenVerdict.PROTECTED_ACCOUNT, to_the_world(is_protected)),
    (OpenVerdict.BULK_CEILING, to_the_world(ceiling_is_used_up)),
    (OpenVerdict.PACED, to_the_world(neighbour_was_cut)),
)
AGAINST = {
    Move.OPEN: (
        *_FIRST,
        (OpenVerdict.NEWER_PAID, to_the_world(pays)),
        *_THEN,
        (OpenVerdict.OPEN_UNPROVEN, to_the_world(type_cannot_open)),
        *_LAST,
    ),
    Move.RELEASE: (
        *_FIRST,
        (OpenVerdict.NOT_FORCED, to_the_world(was_never_forced)),
        *_THEN,
        (OpenVerdict.RELEASE_UNPROVEN, to_the_world(type_cannot_release)),
        *_LAST,
    ),
}
"""In the order of design document 1, each with something that calls for it."""


def task_of(world: World, act: Act) -> Task:
    """What an order asks of M1, as it is kept once it is accepted."""
    assert world.ordered(act) == "ACCEPTED"
    task = world.image.kept.tasks["M1"]
    world.image = with_kept(world.image, tasks={})
    return task
