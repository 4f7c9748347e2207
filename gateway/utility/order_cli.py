"""The commands that sign orders: one for each kind.

Owns their arguments. Must never decide what may be signed: `ordering` does.
"""

import asyncio
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.core.model import IdText, Value
from gateway.core.orders import (
    Act,
    Cancel,
    CutEntry,
    Disconnect,
    EndIsolation,
    Hold,
    Isolate,
    Order,
    Reconnect,
    ReleaseForce,
    ReleaseHold,
    Resume,
    kind_of,
)
from gateway.headend.session import BrokerSettings
from gateway.host.clock import wall_ms
from gateway.utility.arguments import FILE, GATEWAY, JSON, TIME, put, tells_mistakes, time_of
from gateway.utility.broker import ask_options, checked_id
from gateway.utility.next_order import NextOrder, next_order
from gateway.utility.order_wait import Follow, follow_to_the_end
from gateway.utility.ordering import checked_order, cuts_from_table, sign_order
from gateway.utility.sign import SigningKey, distinct_keys
from gateway.utility.when import parse_span

WITHIN = "2min"
METER = click.option("--meter", required=True, help="Serial number of the meter.")
REASON = click.option("--reason", required=True, help="Why, for whoever stands before the meter.")


class Sheet(Value):
    """What every order says beside what it asks for, and how it is signed."""

    gateway: IdText
    order_id: str | None
    """None: made from the kind and the time."""
    next: NextOrder | None
    """None: the broker is asked."""
    issued_at_ms: int
    life_ms: int
    key_paths: tuple[Path, ...]
    out: Path | None
    """None: it is published only."""
    as_json: bool
    settings: BrokerSettings | None
    utility: IdText | None
    within_s: float | None
    """How long its end is waited for; None: it is written only."""

    def sign(self, act: Act) -> None:
        """Sign the order that asks for this, write it and say so; wait for its end if asked to.

        Raises `Mistake`, and `SystemExit` where its end is not the one that was wanted.
        """
        keys = distinct_keys([SigningKey.load(path) for path in self.key_paths])
        order_id = self.order_id or f"{kind_of(act).replace('_', '-')}-{self.issued_at_ms}"
        place = self.next or self._ask()
        draft = Order(
            gateway=self.gateway,
            id=order_id,
            seq=place.seq,
            iat=self.issued_at_ms,
            exp=self.issued_at_ms + self.life_ms,
            act=act,
            boot=place.nonce,
        )
        document = checked_order(draft)
        raw = sign_order(document, keys)
        if self.out is not None:
            put(self.out, raw, document, keys, self.as_json)
        if self.within_s is not None:
            self._wait(document, raw, self.within_s)

    def _wait(self, document: Order, raw: bytes, within_s: float) -> None:
        assert self.settings is not None, "wrong use otherwise"
        assert self.utility is not None, "wrong use otherwise"
        wanted = Follow(
            settings=self.settings,
            utility=self.utility,
            gateway=self.gateway,
            order=document.id,
            within_s=within_s,
        )
        status = follow_to_the_end(wanted, raw, as_json=self.as_json)
        if status:
            sys.exit(status)

    def _ask(self) -> NextOrder:
        assert self.settings is not None, "wrong use otherwise"
        assert self.utility is not None, "wrong use otherwise"
        return asyncio.run(next_order(self.settings, self.utility, self.gateway))


def order_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every order; the command gets them as `sheet`."""

    @GATEWAY
    @click.option(
        "--key",
        "key_paths",
        type=FILE,
        multiple=True,
        required=True,
        help="Key file to sign with; twice for what takes two distinct keys.",
    )
    @click.option("--seq", type=click.IntRange(min=1), help="Above the last order's.")
    @click.option("--nonce", help="Of the gateway's status, for one without a trusted clock.")
    @click.option("--id", "order_id", callback=checked_id, help="[default: from kind and time]")
    @click.option(
        "--life", default="10min", show_default=True, help="To arrive within, say 10min or 2h."
    )
    @click.option("--out", type=FILE, help="File to write; with --wait it may be left out.")
    @click.option(
        "--wait", is_flag=True, help="Publish it, and follow it until it has ended; see below."
    )
    @click.option("--within", help="With --wait: for how long at most.  [default: 2min]")
    @JSON
    @ask_options
    @tells_mistakes
    @functools.wraps(command)
    def with_sheet(
        *,
        seq: int | None,
        nonce: str | None,
        life: str,
        wait: bool,
        within: str | None,
        settings: BrokerSettings | None,
        utility: IdText | None,
        **others: Any,
    ) -> None:
        if within is not None and not wait:
            raise click.UsageError("--within says how long --wait waits: give both.")
        if wait and settings is None:
            raise click.UsageError("Missing option '--ask-broker', which --wait needs.")
        if not wait and others["out"] is None:
            raise click.UsageError("Missing option '--out'; or give --wait.")
        _check_one_source(seq, nonce, settings, utility, wait=wait)
        of_sheet = {name: others.pop(name) for name in ("gateway", "order_id", "key_paths")}
        sheet = Sheet(
            next=None if seq is None else NextOrder(seq=seq, nonce=nonce),
            issued_at_ms=wall_ms(),
            life_ms=_span("--life", life),
            within_s=_span("--within", within or WITHIN) / 1000 if wait else None,
            out=others.pop("out"),
            as_json=others.pop("as_json"),
            settings=settings,
            utility=utility,
            **of_sheet,
        )
        command(sheet, **others)

    return with_sheet


def _span(option: str, text: str) -> int:
    try:
        return parse_span(text)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from error


def _check_one_source(
    seq: int | None,
    nonce: str | None,
    settings: BrokerSettings | None,
    utility: str | None,
    *,
    wait: bool,
) -> None:
    if settings is None and seq is None:
        raise click.UsageError("Missing option '--seq'; or give --ask-broker and --utility.")
    if settings is not None and not wait and (seq, nonce) != (None, None):
        raise click.UsageError("--ask-broker finds --seq and --nonce: leave them out, or it.")
    if settings is not None and utility is None:
        raise click.UsageError("Missing option '--utility', which --ask-broker needs.")


@click.group()
def order() -> None:
    """Sign an order to one gateway: an instruction that is used once.

    What can darken a home takes two distinct keys and lives 15 minutes at most. With --ask-broker
    the number and the nonce come from the gateway's own status: publish each order, and await its
    record, before you sign the next.

    --wait publishes it and prints each state that the gateway tells, with its time, until the order
    has ended: exit status 0 only where it SUCCEEDED.

    \b
    Examples:
      feeder-gateway utility order hold --meter 23014477 --reason "theft, case 81" \\
          --gateway rewa-7 --ask-broker localhost --utility demo \\
          --key keys/order-1.json --out hold.jws
      feeder-gateway utility publish --broker localhost --utility demo --gateway rewa-7 hold.jws
      feeder-gateway utility order reconnect --account 100200300 --meter 23014477 \\
          --gateway rewa-7 --ask-broker localhost --utility demo \\
          --key keys/order-1.json --wait --within 5min
    """


@order.command()
@click.option("--table", type=FILE, help="CSV file: account, meter, and where wanted n.")
@click.option("--account", help="Instead of a table: whose supply is cut.")
@click.option("--meter", help="With --account: serial number of its meter.")
@click.option("--n", help=f"Ledger time as of which they have not paid: {TIME}.")
@order_options
def disconnect(
    sheet: Sheet, table: Path | None, account: str | None, meter: str | None, n: str | None
) -> None:
    """Cut accounts for arrears.

    All of them, or the gateway refuses the order. An account whose payment is booked after n is not
    cut. Two distinct keys sign it.

    \b
    Example:
      feeder-gateway utility order disconnect --table arrears.csv --n 2026-11-19T06:00:00+05:30 \\
          --gateway rewa-7 --seq 8 --key keys/order-1.json --key keys/order-2.json \\
          --out disconnect.jws
    """
    n_ms = None if n is None else time_of("--n", n)
    if table is not None:
        if (account, meter) != (None, None):
            raise click.UsageError("give --table, or --account and --meter, not both")
        sheet.sign(Disconnect(accounts=cuts_from_table(table, n_ms, sheet.issued_at_ms)))
        return
    if account is None or meter is None or n_ms is None:
        raise click.UsageError("give --table, or --account, --meter and --n")
    sheet.sign(Disconnect(accounts=(CutEntry(account=account, meter=meter, n=n_ms),)))


@order.command("release-force")
@click.option(
    "--meter", "meters", multiple=True, required=True, help="Serial number; once for each meter."
)
@order_options
def release_force(sheet: Sheet, meters: tuple[str, ...]) -> None:
    """Give forced meters back to their own logic.

    Without credit they open: two distinct keys sign it.

    \b
    Example:
      feeder-gateway utility order release-force --meter 23014477 --meter 23014478 \\
          --gateway rewa-7 --seq 8 --key keys/order-1.json --key keys/order-2.json \\
          --out release.jws
    """
    sheet.sign(ReleaseForce(meters=meters))


@order.command()
@click.option("--account", required=True, help="Whose supply is asked for.")
@METER
@order_options
def reconnect(sheet: Sheet, account: str, meter: str) -> None:
    """Ask for the supply of a paid account.

    One that has not paid stays as it is.

    \b
    Example:
      feeder-gateway utility order reconnect --account 100200300 --meter 23014477 \\
          --gateway rewa-7 --seq 8 --key keys/order-1.json --out reconnect.jws
    """
    sheet.sign(Reconnect(account=account, meter=meter))


@order.command()
@METER
@REASON
@order_options
def hold(sheet: Sheet, meter: str, reason: str) -> None:
    """Forbid closing a meter although it is paid.

    \b
    Example:
      feeder-gateway utility order hold --meter 23014477 --reason "theft, case 81" \\
          --gateway rewa-7 --seq 8 --key keys/order-1.json --out hold.jws
    """
    sheet.sign(Hold(meter=meter, reason=reason))


@order.command("release-hold")
@METER
@REASON
@order_options
def release_hold(sheet: Sheet, meter: str, reason: str) -> None:
    """End the head end's own hold on a meter.

    \b
    Example:
      feeder-gateway utility order release-hold --meter 23014477 --reason "case 81 closed" \\
          --gateway rewa-7 --seq 8 --key keys/order-1.json --out release-hold.jws
    """
    sheet.sign(ReleaseHold(meter=meter, reason=reason))


@order.command()
@click.option("--dt", callback=checked_id, help="The transformer.  [default: the whole feeder]")
@REASON
@order_options
def isolate(sheet: Sheet, dt: str | None, reason: str) -> None:
    """Forbid every closing where people are at work.

    \b
    Example:
      feeder-gateway utility order isolate --dt DT-2 --reason "line work until 16:00" \\
          --gateway rewa-7 --seq 8 --key keys/order-1.json --out isolate.jws
    """
    sheet.sign(Isolate(dt=dt, reason=reason))


@order.command("end-isolation")
@click.option("--dt", callback=checked_id, help="The transformer.  [default: the whole feeder]")
@REASON
@order_options
def end_isolation(sheet: Sheet, dt: str | None, reason: str) -> None:
    """End the head end's own isolation.

    \b
    Example:
      feeder-gateway utility order end-isolation --dt DT-2 --reason "work is done" \\
          --gateway rewa-7 --seq 8 --key keys/order-1.json --out end-isolation.jws
    """
    sheet.sign(EndIsolation(dt=dt, reason=reason))


@order.command()
@click.option("--dt", callback=checked_id, required=True, help="The transformer.")
@REASON
@order_options
def resume(sheet: Sheet, dt: str, reason: str) -> None:
    """Let a transformer go on whose closes were stopped.

    \b
    Example:
      feeder-gateway utility order resume --dt DT-2 --reason "fuse replaced" \\
          --gateway rewa-7 --seq 8 --key keys/order-1.json --out resume.jws
    """
    sheet.sign(Resume(dt=dt, reason=reason))


@order.command()
@click.option(
    "--order", "canceled", callback=checked_id, required=True, help="The id of that order."
)
@order_options
def cancel(sheet: Sheet, canceled: str) -> None:
    """Call off what an earlier order asked for and has not begun.

    \b
    Example:
      feeder-gateway utility order cancel --order disconnect-1795392000000 \\
          --gateway rewa-7 --seq 9 --key keys/order-1.json --out cancel.jws
    """
    sheet.sign(Cancel(order=canceled))
