"""The demo's judgement: what the journal, the meters and the head end say, as figures.

Owns what has to be true at the end of the demo. Must never take a figure from the story itself.
"""

from collections import Counter
from collections.abc import Iterator
from statistics import median

from gateway.bench.demo_world import CUT, PAYS, Home, Part
from gateway.core.fact import Outcome
from gateway.core.image import DONE
from gateway.core.journeys import journeys_of
from gateway.core.model import SupplyState, Value
from gateway.core.orders import DANGEROUS_KEYS
from gateway.core.reconnection import Verdict
from gateway.core.records import (
    CloseEnded,
    ListInstalled,
    OrderAccepted,
    ReceiptAccepted,
    Record,
    Refused,
    SupplyChanged,
    TaskIntended,
)
from gateway.core.status import Status
from gateway.core.waiting import elapsed_ms

PROMISE_MS = 1_200_000
FORGED = "BAD_SIGNATURE"


class Evidence(Value):
    """Everything the judgement rests on."""

    homes: tuple[Home, ...]
    written: tuple[Record, ...]
    """What the gateway's journal holds."""
    collected: tuple[Record, ...]
    """What the head end's database holds, in its order."""
    closed: frozenset[str]
    """The meters whose switch is really closed."""
    status: Status


class Timeline(Value):
    """How one home came back; milliseconds since its proof reached the feeder."""

    account: str
    road: str
    outcome: Outcome
    steps: tuple[tuple[str, int], ...]
    verified_ms: int
    promise_ms: int


class Seconds(Value):
    """Of the homes that came back: from the proof at the feeder to the second read-back."""

    p50: float
    max: float


class Numbers(Value):
    """What `--json` prints."""

    cut: int
    paid: int
    reconnected: int
    left_dark_unpaid: int
    refused: dict[str, int]
    seconds_to_verified: Seconds
    records_written: int
    records_collected: int
    duplicates: int
    lost: int


class Figures(Value):
    """The numbers, and what of the promise they do not bear out."""

    numbers: Numbers
    failures: tuple[str, ...]

    def in_words(self) -> Iterator[str]:
        """The summary, readable."""
        numbers = self.numbers
        refused = ", ".join(f"{name} {count}" for name, count in numbers.refused.items())
        seconds = numbers.seconds_to_verified
        yield ""
        yield (
            f"{numbers.cut} homes cut, {numbers.paid} paid, {numbers.reconnected} back; "
            f"{numbers.left_dark_unpaid} dark and unpaid; refused: {refused}"
        )
        yield f"proof to verified: median {seconds.p50} s, longest {seconds.max} s of 1200 s"
        yield (
            f"records: {numbers.records_written} written, {numbers.records_collected} collected, "
            f"{numbers.duplicates} twice, {numbers.lost} lost"
        )


def timeline_of(home: Home, records: list[Record]) -> Timeline:
    """How a home came back, from the journal alone. It has come back."""
    ended = journeys_of(records).ended
    journey = next(
        journey for journey in ended if journey.account == home.account and journey.outcome in DONE
    )
    reason, received = journey.reason, journey.received
    assert journey.outcome is not None
    assert journey.paid_at is not None
    assert journey.waited_ms is not None
    assert reason is not None
    assert received is not None
    steps = tuple((name, elapsed_ms(received, instant)) for name, instant in journey.steps)
    return Timeline(
        account=home.account,
        road=f"{reason.road} {reason.paper.lower()}",
        outcome=journey.outcome,
        steps=(("paid", journey.paid_at - received.wall_ms), ("received", 0), *steps),
        verified_ms=journey.waited_ms,
        promise_ms=PROMISE_MS,
    )


def figures_of(evidence: Evidence) -> Figures:
    """The figures, each from what the parts say, and every promise that they do not bear out."""
    written, collected = evidence.written, evidence.collected
    homes = {part: [h for h in evidence.homes if h.part is part] for part in Part}
    paid = [home for part in PAYS for home in homes[part]]
    back = [home for home in paid if any(_settles(record, home) for record in written)]
    unpaid = homes[Part.DOES_NOT_PAY]
    waits = [timeline_of(home, list(written)).verified_ms / 1000 for home in back]
    numbers_held = Counter(record.number for record in collected)
    numbers = Numbers(
        cut=len({_cut_account(record, evidence.homes) for record in written} - {None}),
        paid=sum(any(_proves(record, home) for record in written) for home in paid),
        reconnected=sum(home.serial in evidence.closed for home in back),
        left_dark_unpaid=sum(
            meter.verdict == Verdict.NOT_PAID and meter.meter not in evidence.closed
            for meter in evidence.status.dark
        ),
        refused=_refused(written),
        seconds_to_verified=Seconds(
            p50=round(median(waits), 2) if waits else 0.0, max=round(max(waits, default=0.0), 2)
        ),
        records_written=len(written),
        records_collected=len(collected),
        duplicates=sum(count - 1 for count in numbers_held.values()),
        lost=sum(record.number not in numbers_held for record in written),
    )
    return Figures(numbers=numbers, failures=tuple(_failures(numbers, evidence, unpaid)))


def _failures(numbers: Numbers, evidence: Evidence, unpaid: list[Home]) -> Iterator[str]:
    cut = sum(home.part in CUT for home in evidence.homes)
    paid = sum(home.part in PAYS for home in evidence.homes)
    holds = {
        f"{cut} homes were seen cut": numbers.cut == cut,
        f"{paid} homes paid": numbers.paid == paid,
        "every paid home is back": numbers.reconnected == paid,
        "the unpaid home is dark and says NOT_PAID": numbers.left_dark_unpaid == len(unpaid),
        "the forged receipt is refused": numbers.refused.get(FORGED) == 1,
        "the swapped meter is refused": numbers.refused.get(Verdict.WRONG_METER) == 1,
        "nothing else is refused": sum(numbers.refused.values()) == 2,
        "every switch that was opened has an order under two keys": _opened_by_orders(evidence),
        "within the promise": numbers.seconds_to_verified.max * 1000 <= PROMISE_MS,
        "the head end has the very records": evidence.collected == evidence.written,
    }
    yield from (claim for claim, true in holds.items() if not true)


def _proves(record: Record, home: Home) -> bool:
    body = record.body
    if home.part is Part.PAYS_BY_LIST:
        return isinstance(body, ListInstalled) and body.seq == 2
    return isinstance(body, ReceiptAccepted) and body.account == home.account


def _settles(record: Record, home: Home) -> bool:
    body = record.body
    return isinstance(body, CloseEnded) and body.account == home.account and body.outcome in DONE


def _cut_account(record: Record, homes: tuple[Home, ...]) -> str | None:
    body = record.body
    if not isinstance(body, SupplyChanged) or body.after is not SupplyState.DISCONNECTED:
        return None
    cut = {home.account for home in homes if home.part in CUT}
    return body.account if body.account in cut else None


def _opened_by_orders(evidence: Evidence) -> bool:
    bodies = [record.body for record in evidence.written]
    orders = {body.id: body for body in bodies if isinstance(body, OrderAccepted)}
    opened = [body for body in bodies if isinstance(body, TaskIntended)]
    return all(len(set(orders[task.order].signers)) >= DANGEROUS_KEYS for task in opened)


def _refused(written: tuple[Record, ...]) -> dict[str, int]:
    # One refusal a subject: a document handed in again after a power cut, or a meter that is tried
    # again later, is the same refusal said twice.
    subjects = set()
    for record in written:
        body = record.body
        if isinstance(body, Refused):
            subjects.add((body.name, str(body.digest)))
        elif isinstance(body, CloseEnded) and body.outcome is Outcome.REFUSED:
            subjects.add((body.verdict, str(body.meter)))
    return dict(sorted(Counter(name for name, _ in subjects).items()))
