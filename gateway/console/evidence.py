"""`evidence`: when supply was restored, proven from the journal's records.

Owns the command, and its words and JSON; the utility's CSV stands in `evidence_csv`, the file that
is exported and verified in `evidence_handover`. Must never print what the
records do not say, nor, but for what a verification has found, anything from a broken chain.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from gateway.console.asking import CONFIG, JSON, SocketOf, ask_at, records_at
from gateway.console.chain import BrokenChain, Chain, Link, checked
from gateway.console.evidence_csv import csv_lines, instant_text
from gateway.console.evidence_file import records_in
from gateway.console.evidence_handover import check_use, export, verify
from gateway.console.local import AskStatus
from gateway.console.record_words import record_line
from gateway.console.words import date_and_time, day_of, duration
from gateway.core.journeys import journeys_of
from gateway.core.model import Value
from gateway.core.orders import Disconnect, Reconnect
from gateway.core.promise import Count, Journey, Journeys, Paper, Reason, Summary, summary_of
from gateway.core.records import (
    Body,
    CauseRecorded,
    GraceGranted,
    OrderAccepted,
    TaskEnded,
    TaskIntended,
)
from gateway.core.terms import Limits

MINUTE_MS = 60_000


class Checked(Value):
    """What was checked: records `first` to `last` are one chain that ends in `chain`."""

    first: int
    last: int
    chain: str
    begins_with_the_journal: bool


class AccountEvidence(Value):
    """What `--account --json` prints; times in milliseconds."""

    account: str
    checked: Checked
    promise_ms: int
    compensation_ms: int
    journeys: tuple[Journey, ...]
    under_way: tuple[Journey, ...]
    records: tuple[Link, ...]
    """Those that the journeys name, and those that say why it was cut or had grace."""


class SummaryEvidence(Value):
    """What `--json` prints; times in milliseconds."""

    checked: Checked
    promise_ms: int
    compensation_ms: int
    summary: Summary
    under_way: tuple[Journey, ...]


@click.command()
@CONFIG
@JSON
@click.option("--account", metavar="ACCOUNT", help="What one account's records prove.")
@click.option(
    "--day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="CSV of what ended on one day, by this machine's time zone.",
)
@click.option(
    "--from",
    "file",
    type=click.File("rb"),
    metavar="FILE",
    help='What --export wrote, or `log --json` printed; "-" is standard input.',
)
@click.option(
    "--promise",
    "promise_min",
    type=click.IntRange(1),
    metavar="MINUTES",
    help="Instead of the gateway's promise; with --from 20 if not given.",
)
@click.option(
    "--compensation",
    "compensation_min",
    type=click.IntRange(1),
    metavar="MINUTES",
    help="Instead of the gateway's limit; with --from 120 if not given.",
)
@click.option(
    "--export",
    "new_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write records, their documents and the gateway's signature into a new file.",
)
@click.option(
    "--with-pins",
    is_flag=True,
    help="With --export: site documents, too, that say what technicians' PINs are checked against.",
)
@click.option(
    "--verify",
    "exported",
    type=click.File("rb"),
    metavar="FILE",
    help="Say what such a file proves; anywhere, nothing need run.",
)
@click.option(
    "--device-key",
    metavar="KEY",
    help="With --verify: the file of `init --json`, or the public half itself.",
)
@click.option(
    "--root",
    "anchor",
    type=click.File("rb"),
    metavar="FILE",
    help="With --verify: the root.json that the gateway has, to check its documents.",
)
@click.pass_context
def evidence(
    context: click.Context,
    config_path: Path,
    as_json: bool,
    account: str | None,
    day: datetime | None,
    file: IO[bytes] | None,
    promise_min: int | None,
    compensation_min: int | None,
    new_file: Path | None,
    with_pins: bool,
    exported: IO[bytes] | None,
    device_key: str | None,
    anchor: IO[bytes] | None,
) -> None:
    """Prove when supply was restored.

    Without --account or --day: how the promise was kept, in all and by day. Every record is checked
    against its hash first; where the chain is broken, nothing but that is said, and the exit status
    is 1. Who doubts the whole has it exported, and verifies it with the key that was enrolled.
    Reads the running gateway's journal, or with --from a file, for which nothing need run.
    --verify ends with exit status 0 only when the device has signed for every record and nothing in
    the file is wrong; with --root, also only when every document is there and vouched for.

    \b
    Examples:
      feeder-gateway evidence
      feeder-gateway evidence --account 7301001
      feeder-gateway evidence --day 2026-11-19 > restored.csv
      feeder-gateway log --json > records.jsonl
      feeder-gateway evidence --from records.jsonl --account 7301001 --json
      feeder-gateway evidence --export rewa-7.evidence.jsonl
      feeder-gateway evidence --verify rewa-7.evidence.jsonl --device-key rewa-7.enrolment.json
    """
    check_use(context)
    if day is not None and (account is not None or as_json):
        raise click.UsageError("--day prints CSV of all accounts; leave --account and --json out")
    socket_of: SocketOf = context.obj
    if exported is not None:
        verify(exported, device_key, anchor, as_json=as_json)
        return
    if new_file is not None:
        export(socket_of(config_path), new_file, with_pins=with_pins, as_json=as_json)
        return
    chain, limits = _read(file, lambda: socket_of(config_path))
    limits = msgspec.structs.replace(
        limits,
        promise_ms=MINUTE_MS * promise_min if promise_min else limits.promise_ms,
        compensation_ms=(
            MINUTE_MS * compensation_min if compensation_min else limits.compensation_ms
        ),
    )
    for line in _printed(chain, limits, account=account, day=day, as_json=as_json):
        click.echo(line)


def _read(file: IO[bytes] | None, socket_of: Callable[[], Path]) -> tuple[Chain, Limits]:
    """The records of a file, or those of the daemon and what it has promised."""
    try:
        if file is not None:
            return checked(records_in(file)), Limits()
        socket = socket_of()
        return checked(records_at(socket, 0)), _limits_at(socket)
    except BrokenChain as error:
        place = "the journal" if file is None else file.name
        raise click.ClickException(f"{place}: {error}") from error


def _limits_at(socket: Path) -> Limits:
    status = ask_at(socket, AskStatus()).status
    assert status is not None
    return Limits(promise_ms=status.promise_ms, compensation_ms=status.compensation_ms)


def _printed(
    chain: Chain, limits: Limits, *, account: str | None, day: datetime | None, as_json: bool
) -> Iterator[str]:
    journeys = journeys_of(chain.records)
    if day is not None:
        of_day = [one for one in journeys.ended if _ended_on(one) == day.date().isoformat()]
        yield from csv_lines(of_day, limits)
    elif account is not None:
        of_account = _of_account(account, chain, journeys, limits)
        yield from [_json(of_account)] if as_json else _account_lines(of_account, chain)
    else:
        found = SummaryEvidence(
            checked=_checked(chain),
            promise_ms=limits.promise_ms,
            compensation_ms=limits.compensation_ms,
            summary=summary_of(journeys.ended, limits, day_of),
            under_way=journeys.under_way,
        )
        yield from [_json(found)] if as_json else _summary_lines(found)


def _of_account(account: str, chain: Chain, journeys: Journeys, limits: Limits) -> AccountEvidence:
    if not any(_names(record.body, account) for record in chain.records):
        raise click.ClickException(f"no record names account {account}; is the number right?")
    ended = tuple(one for one in journeys.ended if one.account == account)
    under_way = tuple(one for one in journeys.under_way if one.account == account)
    numbers = {number for one in ended + under_way for number in one.numbers}
    numbers |= {record.number for record in chain.records if _explains(record.body, account)}
    return AccountEvidence(
        account=account,
        checked=_checked(chain),
        promise_ms=limits.promise_ms,
        compensation_ms=limits.compensation_ms,
        journeys=ended,
        under_way=under_way,
        records=tuple(link for link in chain.links if link.number in numbers),
    )


def _explains(body: Body, account: str) -> bool:
    """Whether a record says why an account was cut or had grace, which no journey tells."""
    kinds = (OrderAccepted, TaskIntended, TaskEnded, CauseRecorded, GraceGranted)
    return isinstance(body, kinds) and _names(body, account)


def _names(body: Body, account: str) -> bool:
    match body:
        case OrderAccepted(act=Disconnect(accounts=entries)):
            return any(entry.account == account for entry in entries)
        case OrderAccepted(act=Reconnect(account=asked_for)):
            return asked_for == account
        case _:
            return getattr(body, "account", None) == account


def _checked(chain: Chain) -> Checked:
    return Checked(
        first=chain.links[0].number,
        last=chain.links[-1].number,
        chain=chain.links[-1].chain,
        begins_with_the_journal=chain.begins_with_the_journal,
    )


# --- words ----------------------------------------------------------------------------------------


def _account_lines(found: AccountEvidence, chain: Chain) -> Iterator[str]:
    for journey in found.journeys:
        yield (
            f"account {journey.account}, meter {journey.meter}: {journey.outcome} "
            f"{instant_text(journey.ended)}"
        )
        yield from _journey_lines(journey, found)
        yield ""
    for journey in found.under_way:
        yield f"account {journey.account}, meter {journey.meter}: not back by the last record"
        yield from _journey_lines(journey, found)
        yield ""
    if not found.journeys and not found.under_way:
        yield f"account {found.account}: no reconnection in these records"
    records = {record.number: record for record in chain.records}
    for link in found.records:
        yield record_line(records[link.number])
        yield f"        {link.chain}"
    yield from _chain_lines(found.checked)


def _journey_lines(journey: Journey, found: AccountEvidence) -> Iterator[str]:
    paid_at = "" if journey.paid_at is None else date_and_time(journey.paid_at)
    steps = {
        "dark since": instant_text(journey.dark_since),
        "paid": paid_at,
        "received": instant_text(journey.received),
        "decided": instant_text(journey.decided),
        "written": instant_text(journey.written),
        "verified": instant_text(journey.verified),
        "connected": instant_text(journey.connected),
    }
    yield from (f"  {name:<10}  {time}" for name, time in steps.items() if time)
    for one in journey.tries:
        again = f", taken up {one.attempts} times" if one.attempts > 1 else ""
        outcome = one.outcome or "under way"
        yield f"  close {one.close:<4}  {outcome} {one.detail}".rstrip() + again
    if journey.reason is not None:
        reason = journey.reason
        yield f"  reason      {reason.paper}{_whose(reason)}: {reason.digest}"
    if journey.waited_ms is not None:
        measure = ", measured by the calendar" if journey.by_calendar else ""
        tagged = ", a hold or an isolation forbade closing for a part of it"
        yield (
            f"  waited      {_wait(journey.waited_ms)}{measure}; promised within "
            f"{duration(found.promise_ms)}: {'kept' if _kept(journey, found) else 'BROKEN'}"
            + (tagged if journey.tagged else "")
        )
    yield f"  records     {' '.join(str(number) for number in journey.numbers)}"


def _whose(reason: Reason) -> str:
    if reason.paper is Paper.GRACE:
        return ", by the site document's grace, nobody had paid"
    return f" by {reason.signer}, came by {reason.road}" if reason.road else ""


def _wait(ms: int) -> str:
    return f"{ms / 1000:.3f} s" if ms < MINUTE_MS else duration(ms)


def _kept(journey: Journey, found: AccountEvidence) -> bool:
    return journey.kept_within(found.promise_ms) is True


def _summary_lines(found: SummaryEvidence) -> Iterator[str]:
    yield f"restored  {_count(found.summary.total, found)}"
    for day, count in found.summary.days.items():
        yield f"{day}  {_count(count, found)}"
    for journey in found.under_way:
        yield f"not back  account {journey.account}, meter {journey.meter}"
    yield from _chain_lines(found.checked)


def _count(count: Count, found: SummaryEvidence) -> str:
    text = (
        f"{count.restored}, within {duration(found.promise_ms)} {count.within_promise}, "
        f"late {count.late}"
    )
    if count.late_tagged:
        text += f" ({count.late_tagged} under a hold or an isolation)"
    if count.worst_ms is not None:
        text += f", longest {_wait(count.worst_ms)} (account {count.worst_account})"
    text += (
        f"; later than {duration(found.compensation_ms)} after the payment "
        f"{count.beyond_compensation}"
    )
    if count.unproven:
        text += f"; {count.unproven} more came back after a close that could not be read back"
    return text


def _chain_lines(found: Checked) -> Iterator[str]:
    yield f"chain     records {found.first} to {found.last} are unbroken and end in {found.chain}"
    if not found.begins_with_the_journal:
        yield f"          record {found.first} is taken as given: the one before it is not here"


def _ended_on(journey: Journey) -> str:
    assert journey.ended is not None, "it is one of those that have ended"
    return day_of(journey.ended.wall_ms)


def _json(found: Any) -> str:
    return msgspec.json.encode(found).decode()
