"""Requests: what somebody at this machine asks for, by a name and with a reason.

Owns why a hold, an isolation, a cause or the resuming of a transformer is not taken. Must never let
one place's tag be taken away from another: what a technician has locked, no order unlocks.
"""

from typing import assert_never

from gateway.core.admitted import ACCEPTED, DUPLICATE, Admission, refused
from gateway.core.fact import CauseClaim, ResumeClaim, TagClaim, TagKind
from gateway.core.image import Image
from gateway.core.model import Account, Cause, DtId, Serial, SupplyState
from gateway.core.records import CauseRecorded, PacingResumed, TagPlaced, TagRemoved

NAME_MAX = 64
REASON_MAX = 200


def admit_tag(claim: TagClaim, image: Image) -> Admission:
    """Place or remove a hold or an isolation, on something known."""
    flaw = _unsigned(claim.by, claim.reason)
    if flaw is not None:
        return flaw
    standing = image.tags(claim.kind, claim.target)
    if not _known(claim, image) and not standing:
        return refused("NOT_ON_ROSTER", f"{claim.target!r} is not on the roster")
    own = any(tag.origin is claim.origin for tag in standing)
    if standing and not own and not claim.place:
        origin = standing[0].origin
        return refused("PLACED_ELSEWHERE", f"it was placed by {origin}, and is taken away there")
    if own == claim.place:
        return Admission(answer=DUPLICATE)
    kind = TagPlaced if claim.place else TagRemoved
    body = kind(
        kind=claim.kind,
        target=claim.target,
        by=claim.by,
        reason=claim.reason,
        origin=claim.origin,
    )
    return Admission(answer=ACCEPTED, bodies=(body,))


def admit_cause(claim: CauseClaim, image: Image) -> Admission:
    """Take down what opened a switch, of a meter that is open."""
    flaw = _unsigned(claim.by, claim.reason)
    if flaw is not None:
        return flaw
    meter = image.roster.get(claim.meter)
    if meter is None:
        return refused("NOT_ON_ROSTER", f"{claim.meter!r} is not on the roster")
    if claim.cause is Cause.ORDER:
        return refused("NOT_BY_HAND", "an order that opened it has its own records; say ARREARS")
    supply = image.kept.supply.get(meter.serial)
    if supply is None or supply.state is SupplyState.CONNECTED:
        return refused("ALREADY_CONNECTED", "its switch is not open, as far as it was read")
    known = image.kept.causes.get(meter.serial)
    if known is not None and known.cause is claim.cause:
        return Admission(answer=DUPLICATE)
    body = CauseRecorded(
        serial=Serial(meter.serial),
        account=Account(meter.account),
        cause=claim.cause,
        by=claim.by,
        reason=claim.reason,
    )
    return Admission(answer=ACCEPTED, bodies=(body,))


def admit_resume(claim: ResumeClaim, image: Image) -> Admission:
    """Let a stopped transformer go on."""
    flaw = _unsigned(claim.by, claim.reason)
    if flaw is not None:
        return flaw
    if claim.dt not in {meter.dt for meter in image.roster.values()}:
        return refused("NOT_ON_ROSTER", f"no meter of the roster is on {claim.dt!r}")
    if claim.dt not in image.kept.stops:
        return Admission(answer=DUPLICATE)
    body = PacingResumed(dt=DtId(claim.dt), by=claim.by, reason=claim.reason)
    return Admission(answer=ACCEPTED, bodies=(body,))


def _unsigned(by: str, reason: str) -> Admission | None:
    """The refusal of what nobody answers for."""
    if not by.strip() or not reason.strip():
        return refused("NAME_OR_REASON_MISSING", "give the name of who answers for it, and why")
    if len(by) > NAME_MAX or len(reason) > REASON_MAX:
        return refused("TOO_LONG", f"at most {NAME_MAX} characters of name, {REASON_MAX} of reason")
    return None


def _known(claim: TagClaim, image: Image) -> bool:
    match claim.kind:
        case TagKind.HOLD:
            return claim.target in image.roster
        case TagKind.ISOLATE_DT:
            return any(meter.dt == claim.target for meter in image.roster.values())
        case TagKind.ISOLATE_FEEDER:
            return claim.target == ""
        case _:
            assert_never(claim.kind)
