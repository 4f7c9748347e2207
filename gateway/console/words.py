"""What the words of the law mean, for people: one sentence each, and the mend where there is one.

Owns the sentences. Must never add a judgement: it only says in words what a verdict, a brake, a
cause, an outcome or an alarm already is.
"""

from datetime import UTC, datetime

from gateway.core.alarms import Alarm
from gateway.core.disconnection import OpenVerdict
from gateway.core.fact import Outcome, Why
from gateway.core.model import Brake, Cause
from gateway.core.reconnection import Verdict
from gateway.core.status import IN_PROGRESS

MEANING: dict[str, str] = {
    Verdict.NOT_ON_ROSTER: "the signed site document does not know this meter",
    Verdict.SWITCH_UNPROVEN: "its meter type has no switch that is known well enough to write",
    Verdict.FEEDER_ISOLATED: "people are at work on the feeder",
    Verdict.DT_ISOLATED: "people are at work on this transformer",
    Verdict.METER_HELD: "a hold forbids closing this meter",
    Verdict.STATE_UNKNOWN: "the meter has not been read lately; check its wiring and address",
    Verdict.ALREADY_CONNECTED: "the switch is closed",
    Verdict.AWAITING_CONSUMER: "armed: the consumer must press the meter's button",
    Verdict.NOT_PAID: "no proof of payment has reached this feeder; hand in a receipt",
    Verdict.METER_MISMATCH: "what grants it names another meter; have it signed anew",
    Verdict.CAUSE_UNKNOWN: "nobody knows why it is open; a receipt or record-cause settles it",
    Verdict.RETRIPPED: "closed several times within the hour and open again; look for a fault",
    Verdict.PACED: "permitted, its turn has not come",
    Verdict.PERMIT: "nothing stands against it",
    Verdict.WRONG_METER: "another meter answers at this address; correct the roster or the wiring",
    Verdict.IDENTITY_UNPROVEN: "nothing proves which meter answers here; put a proof on file",
    Verdict.BACKFEED: "there is voltage behind the open switch: another source feeds the house",
    IN_PROGRESS: "being closed now",
    OpenVerdict.CANCELED: "a later order has called it off",
    OpenVerdict.SECOND_KEY_MISSING: "it takes two order keys; have a second person sign it",
    OpenVerdict.LIFE_TOO_LONG: "it may live for 15 minutes at most; issue it anew",
    OpenVerdict.EXPIRED: "it is past its expiry; issue it anew",
    OpenVerdict.NOT_YET_VALID: "it is issued for later; check the clocks of both ends",
    OpenVerdict.CLOCK_UNKNOWN: "no time source has answered; let the order echo this boot",
    OpenVerdict.MEMORY_LOST: "newer documents were here and are lost; send them again",
    OpenVerdict.JOURNAL_DEGRADED: "the disk takes nothing; mend it first",
    OpenVerdict.LIST_STALE: "who has paid is not known: the list is stale; send a new one",
    OpenVerdict.NEWER_PAID: "the account has paid since",
    OpenVerdict.NOT_FORCED: "no command of this gateway forces this meter",
    OpenVerdict.NOT_REACHED: "the meter was not read in the last 15 minutes; check its wiring",
    OpenVerdict.HEAD_END_SILENT: "the head end was not heard in the last 5 minutes",
    OpenVerdict.CLOSE_UNPROVEN: "nothing proves that it could be closed again",
    OpenVerdict.OPEN_UNPROVEN: "how its meter type is opened is not known well enough to write",
    OpenVerdict.RELEASE_UNPROVEN: "how its meter type is released is not known well enough",
    OpenVerdict.PROTECTED_TIME: "the site document protects this time; order it for another",
    OpenVerdict.PROTECTED_ACCOUNT: "the site document protects this account",
    OpenVerdict.BULK_CEILING: "as many as are allowed in an hour; order the rest later",
    OpenVerdict.ALREADY_DISCONNECTED: "the switch is open",
}
"""Verdicts about closing and about opening; a word that both have is the same word."""

BRAKES: dict[Brake, str] = {
    Brake.UNDER_WAY: "another close on its transformer has not ended yet",
    Brake.FIRST_ALONE: "the first close of its transformer is being observed",
    Brake.GAP: "the last close on its transformer was a moment ago",
    Brake.DT_CEILING: "its transformer has had its closes of this minute",
    Brake.FEEDER_CEILING: "its feeder has had its closes of this minute",
    Brake.GATEWAY_CEILING: "the gateway has had its closes of this minute",
    Brake.SETBACK: "its own last close did not succeed; it is tried again later",
    Brake.FAILURES: "its transformer is stopped, closes failed unexplained; look for a fault",
    Brake.UNDERVOLTAGE: "its transformer is stopped, the check meter reads too little",
}
"""What holds a close whose turn has not come."""

CAUSES: dict[Cause, str] = {
    Cause.ORDER: "by a disconnect order",
    Cause.ARREARS: "for arrears, by other means",
    Cause.PREPAY: "by its own prepay logic: the credit was used up",
    Cause.POWER_UP: "by nobody: its position after a power failure",
    Cause.TECHNICIAN: "by somebody at the meter, for a reason of his own",
    Cause.TRIP: "by a protection: overload, temperature or tamper",
}
"""What opened a switch."""

OUTCOMES: dict[Outcome, str] = {
    Outcome.CLOSED_VERIFIED: "read back twice, it is closed",
    Outcome.ARMED: "the consumer must press the meter's button",
    Outcome.CLOSED_UNVERIFIED: "it reads closed, and nothing else shows it",
    Outcome.OPENED_VERIFIED: "read back twice, it is open",
    Outcome.OPENED_UNVERIFIED: "it reads open, and nothing else shows it",
    Outcome.RELEASED: "the meter follows its own prepay logic again",
    Outcome.REFUSED: "the rule forbade it",
    Outcome.FAILED: "it did not succeed",
    Outcome.UNKNOWN: "a write may have taken effect, it could not be read back",
}
"""How a command to a load switch ended."""

REASONS: dict[str, str] = {
    Why.BUS_DOWN: "the bus is down; check its adapter",
    Why.NO_ANSWER: "the meter did not answer; check its wiring and address",
    Why.EXCEPTION: "the meter refused the request",
    Why.STILL_OPEN: "it still reads open; look at its switch",
    Why.STILL_CLOSED: "it still reads closed; look at its switch",
    Why.READS_DISAGREE: "its readings contradict each other; look at the meter",
}
"""Why a command did not end well, where no verdict says so."""

ALARMS: dict[Alarm, str] = {
    Alarm.WIPED: "out of service by order; a site document with a higher number puts it back",
    Alarm.NO_SITE: "no site document yet; hand one in",
    Alarm.NO_LIST: "no list of who has paid yet; hand one in",
    Alarm.LIST_STALE: "the list is old; it still reconnects, nobody is cut by it; send a new one",
    Alarm.ROOT_EXPIRED: "the root of trust should have been renewed; it counts all the same",
    Alarm.EQUIVOCATION: "two documents under one number were signed; look who holds that key",
    Alarm.JOURNAL_LOST: "the journal was lost or an old one put back; the head end has to know",
    Alarm.JOURNAL_DEGRADED: "the disk takes nothing: do not switch off; mend it, see 'journal'",
    Alarm.BEHIND: "newer documents were here and are lost; send list, site and root again",
    Alarm.AMNESIA: "nothing is known of before; send a list that echoes this status's nonce",
    Alarm.CERTIFICATE_EXPIRED: "a certificate on the way to the broker has expired; renew it",
    Alarm.CERTIFICATE_EXPIRES: "a certificate on the way to the broker ends soon; renew it",
    Alarm.BUS_DOWN: "a bus is down; check its adapter",
    Alarm.METERS_SILENT: "meters do not answer; check their wiring and addresses",
    Alarm.PROMISE_BROKEN: "somebody has been paid and dark for longer than is promised",
    Alarm.CLOSE_FAILED: "a close did not succeed; see the dark ones",
    Alarm.CLOSED_WITHOUT_SUPPLY: "a switch reads closed and nothing comes out of it; look at it",
    Alarm.PROMISE_AT_RISK: "at this pace the last who waits comes back too late",
    Alarm.PACING_STOPPED: "a transformer is not loaded any further; look for a fault, resume-dt",
    Alarm.GRACE_OVER: "supply without proof of payment is over its hours; the head end decides",
}
"""What somebody should come for or decide about."""


def ended_in_words(outcome: Outcome, detail: str) -> str:
    """An outcome with the verdict or the reason beside it, and what both mean."""
    meaning = MEANING.get(detail) or REASONS.get(detail)
    said = f"{OUTCOMES[outcome]}; {meaning}" if meaning else OUTCOMES[outcome]
    return f"{outcome} {detail}".rstrip() + f": {said}"


def clock_time(wall_ms: int) -> str:
    """Local time of day of a calendar claim."""
    return _local(wall_ms).strftime("%H:%M:%S")


def date_and_time(wall_ms: int) -> str:
    """A calendar claim in local time, ISO 8601 with its zone."""
    return _local(wall_ms).isoformat(timespec="milliseconds")


def day_of(wall_ms: int) -> str:
    """The local day of a calendar claim, ISO 8601."""
    return _local(wall_ms).date().isoformat()


def duration(ms: int) -> str:
    """A duration as minutes and seconds, with days and hours where there are any."""
    seconds = ms // 1000
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    days_text = f"{days} d " if days else ""
    hours_text = f"{hours}:" if hours or days else ""
    return f"{days_text}{hours_text}{minutes:02}:{seconds:02}"


def _local(wall_ms: int) -> datetime:
    return datetime.fromtimestamp(wall_ms / 1000, UTC).astimezone()
