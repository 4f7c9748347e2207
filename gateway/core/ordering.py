"""Ordering: what becomes of an order.

Owns every reason for which an order of the head end is not taken, and the records that an accepted
one makes at once. Must never open or close anything: a disconnection is admitted as a whole or not
at all (`disconnection` rules on each of its homes), and `plan` begins it.

An order is used once: also one that is refused is used up, so that nobody can keep it for a better
moment. Only what lacks a signature, or came by a road that no order takes, counts as never come.
"""

from collections.abc import Iterator

from gateway.core.admitted import ACCEPTED, DUPLICATE, Admission, refused
from gateway.core.disconnection import LIFE_MAX_MS, OpenVerdict, may_open, room_in_the_hour
from gateway.core.errands import judge_errand
from gateway.core.fact import Answer, DocumentClaim, Origin, ResumeClaim, Road, TagClaim, TagKind
from gateway.core.image import Image
from gateway.core.lifecycle import progress_of
from gateway.core.model import Now
from gateway.core.ordered import tag_of, tasks_of
from gateway.core.orders import (
    DANGEROUS,
    Act,
    Cancel,
    CutEntry,
    Disconnect,
    EndIsolation,
    Hold,
    Isolate,
    Order,
    Read,
    Rebirth,
    Reconnect,
    ReleaseForce,
    ReleaseHold,
    Resume,
    keys_needed,
    kind_of,
)
from gateway.core.progress import OrderState, Progress
from gateway.core.records import Body, OrderAccepted, OrderRefused
from gateway.core.requests import admit_resume, admit_tag
from gateway.core.sequence import clock_unknown, expired, is_duplicate, not_yet_valid
from gateway.core.signature import Verified
from gateway.core.soundness import Unsound
from gateway.core.standing import Newness, Standing, Word, compare
from gateway.core.waiting import instant_of

MAY_BEGIN = frozenset({OpenVerdict.PERMIT, OpenVerdict.PACED})
USED_UP = "it was refused when it first came, and is used up"
READ = "read"
STOPPABLE = frozenset({READ, "scan", "config"})
UNDER_WAY_MAX = {READ: 8, "reconnect": 4_096}
"""Orders of a kind that may be under way: of the others their homes are the bound."""


def judge_order(
    order: Order, verified: Verified, claim: DocumentClaim, image: Image, now: Now
) -> Admission:
    """What becomes of a sound order. Raises `Unsound` where it counts as never come."""
    if len(verified.signers) < keys_needed(order.act):
        # Whoever took a signature off must not use the order up.
        raise Unsound(OpenVerdict.SECOND_KEY_MISSING, f"signed by {verified.signers[0]} alone")
    known = progress_of(order.id, image)
    if known is not None and known.digest == verified.digest:
        return _known(known)
    mark = image.kept.newest.order
    if is_duplicate(mark, order.seq, verified.digest, mark.digest):
        if mark.refusal is None:
            return Admission(answer=DUPLICATE)
        return refused(mark.refusal, USED_UP)
    if claim.retained:
        raise Unsound("RETAINED_ORDER", "an order is never kept by the broker; publish it unkept")
    if isinstance(order.act, DANGEROUS) and claim.road is not Road.MQTT:
        raise Unsound("ROAD_NOT_ALLOWED", "what can darken a home comes by MQTT, no other road")
    accepted = OrderAccepted(
        id=order.id,
        seq=order.seq,
        act=order.act,
        iat=order.iat,
        exp=order.exp,
        boot=order.boot,
        digest=verified.digest,
        signers=tuple(verified.signers),
        road=claim.road,
    )
    try:
        _check_room(order, known, image)
        _check_fresh(order, now)
        also = tuple(_judge_act(order.act, accepted, claim.link, image, now))
    except Unsound as flaw:
        return _refused(flaw, accepted)
    return Admission(answer=ACCEPTED, bodies=(accepted, *also), verified=verified)


def _known(known: Progress) -> Admission:
    """What is answered to an order that is known: how far it has come goes with it."""
    if known.state is OrderState.REJECTED:
        return refused(known.reason, USED_UP)
    return Admission(answer=DUPLICATE)


def _check_room(order: Order, known: Progress | None, image: Image) -> None:
    """Whether it can be told under its id, and how far it has come be kept. Raises `Unsound`."""
    if known is not None:
        raise Unsound("ID_USED", f"another order had id {order.id}; give each its own")
    kind = kind_of(order.act)
    ceiling = UNDER_WAY_MAX.get(kind)
    if ceiling is None:
        return
    under_way = sum(one.kind == kind for one in image.kept.orders.values())
    if under_way >= ceiling:
        raise Unsound("TOO_MANY_ORDERS", f"{under_way} of kind {kind} have not ended")


def _check_fresh(order: Order, now: Now) -> None:
    if isinstance(order.act, Disconnect | ReleaseForce):
        return  # in the order of its own guards
    if isinstance(order.act, DANGEROUS) and order.exp - order.iat > LIFE_MAX_MS:
        raise Unsound(OpenVerdict.LIFE_TOO_LONG, "it may live for 15 minutes at most")
    if expired(order.exp, now):
        raise Unsound(OpenVerdict.EXPIRED, f"it had to be here by {order.exp}")
    if not_yet_valid(order.iat, now):
        raise Unsound(OpenVerdict.NOT_YET_VALID, f"it is issued at {order.iat}")
    if clock_unknown(order.boot, now):
        raise Unsound(
            OpenVerdict.CLOCK_UNKNOWN,
            "no time source has answered, and it does not echo a status of the last 15 minutes",
        )


def _judge_act(
    act: Act, accepted: OrderAccepted, link: str, image: Image, now: Now
) -> Iterator[Body]:
    """The records beside the order's own. Raises `Unsound`."""
    match act:
        case Disconnect():
            for at, entry in enumerate(act.accounts):
                _check_word(entry, f"args.accounts[{at}]", accepted, image)
            _check_tasks(accepted, image, now)
        case ReleaseForce():
            _check_tasks(accepted, image, now)
        case Reconnect():
            _check_account(act, image)
        case Hold() | ReleaseHold() | Isolate() | EndIsolation():
            kind, target = tag_of(act)
            place = isinstance(act, Hold | Isolate)
            yield from _tag(kind, target, place, act.reason, accepted.id, image)
        case Resume():
            claim = ResumeClaim(dt=act.dt, by=_by(accepted.id), reason=act.reason)
            yield from _bodies(admit_resume(claim, image))
        case Read():
            _check_roster(act, image)
        case Cancel():
            if not _may_be_cancelled(act.order, image):
                raise Unsound("NOTHING_TO_CANCEL", f"nothing of order {act.order} waits")
        case Rebirth():
            pass
        case _:
            yield from judge_errand(act, accepted, link, image)


def _check_word(entry: CutEntry, where: str, accepted: OrderAccepted, image: Image) -> None:
    """Whether the cut is news about its account. Raises `Unsound`."""
    word = Word(standing=Standing.CUT, n=entry.n, meter=entry.meter, digest=accepted.digest)
    stands = image.word(entry.account)
    match compare(word, stands, image.meters_of(entry.account)):
        case Newness.OLDER if stands is not None and stands.standing is not Standing.PAID:
            raise Unsound("OLDER_THAN_STANDING", f"{where}: n {entry.n} is before the newest word")
        case Newness.EQUIVOCATION:
            raise Unsound("EQUIVOCATION", f"{where}: n {entry.n} already says otherwise")
        case _:
            pass


def _check_tasks(accepted: OrderAccepted, image: Image, now: Now) -> None:
    """Whether all of it may be done: all or nothing. Raises `Unsound`."""
    tasks = tasks_of(accepted, image, instant_of(now))
    for serial, task in tasks.items():
        if serial in image.kept.tasks:
            raise Unsound("TASK_UNDER_WAY", f"meter {serial} is still at an earlier order's")
        ruling = may_open(task, image, now)
        if ruling.verdict not in MAY_BEGIN:
            raise Unsound(ruling.verdict, f"meter {serial} of account {task.account}")
    count, room = len(tasks), room_in_the_hour(image, now)
    if count > room:
        raise Unsound(
            OpenVerdict.BULK_CEILING,
            f"{count} homes, {max(room, 0)} more are allowed within this hour",
        )


def _may_be_cancelled(order: str, image: Image) -> bool:
    under_way = image.kept.orders.get(order)
    stops = under_way is not None and under_way.kind in STOPPABLE
    return stops or any(task.order == order for task in image.kept.tasks.values())


def _check_roster(act: Read, image: Image) -> None:
    for at, serial in enumerate(act.meters):
        if serial not in image.roster:
            raise Unsound("NOT_ON_ROSTER", f"args.meters[{at}]: {serial} is not on the roster")


def _check_account(act: Reconnect, image: Image) -> None:
    meter = image.by_account.get(act.account)
    if meter is None:
        raise Unsound("NOT_ON_ROSTER", f"account {act.account} is not on this feeder's roster")
    if meter.serial != act.meter:
        raise Unsound(
            "METER_MISMATCH", f"the order names meter {act.meter}, the roster {meter.serial}"
        )


def _tag(
    kind: TagKind, target: str, place: bool, reason: str, order: str, image: Image
) -> Iterator[Body]:
    claim = TagClaim(
        kind=kind, target=target, place=place, by=_by(order), reason=reason, origin=Origin.ORDER
    )
    yield from _bodies(admit_tag(claim, image))


def _bodies(admission: Admission) -> tuple[Body, ...]:
    answer: Answer = admission.answer
    if not answer.accepted:
        raise Unsound(answer.word, answer.detail)
    return admission.bodies


def _by(order: str) -> str:
    return f"order {order}"


def _refused(flaw: Unsound, accepted: OrderAccepted) -> Admission:
    body = OrderRefused(
        id=accepted.id,
        seq=accepted.seq,
        kind=kind_of(accepted.act),
        name=flaw.name,
        detail=flaw.detail[:300],
        digest=accepted.digest,
        signers=accepted.signers,
        road=accepted.road,
    )
    answer = Answer(accepted=False, word=flaw.name, detail=flaw.detail[:300])
    return Admission(answer=answer, bodies=(body,))
