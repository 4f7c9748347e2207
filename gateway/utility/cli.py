"""The utility's commands: all of them, and here those that sign sites, lists and receipts.

Owns arguments, exit status (0 done, 1 failed, 2 used wrongly) and the readable forms. Must never
decide what a document says: the rooms beside this file do.
"""

from pathlib import Path

import click

from gateway.core.documents import Receipt
from gateway.core.model import IdText
from gateway.core.signature import DocumentType
from gateway.headend.session import BrokerSettings
from gateway.host.clock import wall_ms
from gateway.utility.allow_list import list_from_table
from gateway.utility.arguments import (
    FILE,
    GATEWAY,
    JSON,
    KEY,
    OUT,
    SEQ,
    TIME,
    nonce_from,
    put,
    tells_mistakes,
    time_of,
)
from gateway.utility.asyncapi_cli import asyncapi
from gateway.utility.broker import ask_options, checked_id
from gateway.utility.collect import collect
from gateway.utility.errand_cli import ERRANDS
from gateway.utility.files import PUBLIC, write_whole
from gateway.utility.key_cli import key, keys
from gateway.utility.look_cli import qr, show, verify_command
from gateway.utility.order_cli import order
from gateway.utility.outage import outage
from gateway.utility.people_cli import badge, pin
from gateway.utility.publish import publish
from gateway.utility.receipt import checked_receipt, qr_code, qr_svg, qr_text
from gateway.utility.root_cli import root
from gateway.utility.sign import SigningKey, payload_of
from gateway.utility.site import site_from_roster
from gateway.utility.time_cli import time
from gateway.utility.watch_cli import watch


@click.group()
def utility() -> None:
    """The utility's side: keys, orders, a head end.

    \b
    Example:
      feeder-gateway utility keys --dir keys
    """


for command in (
    keys,
    key,
    root,
    badge,
    pin,
    time,
    order,
    show,
    verify_command,
    qr,
    publish,
    collect,
    watch,
    outage,
    asyncapi,
):
    utility.add_command(command)
for errand in ERRANDS:
    order.add_command(errand)


@utility.command()
@click.option("--csv", "roster", type=FILE, required=True, help="The roster, see below.")
@GATEWAY
@click.option(
    "--feeder", callback=checked_id, required=True, help="The feeder that the gateway serves."
)
@SEQ
@click.option("--terms", type=FILE, help="TOML file of paces, limits and windows, see below.")
@KEY
@OUT
@JSON
@tells_mistakes
def site(
    roster: Path,
    gateway: str,
    feeder: str,
    seq: int,
    terms: Path | None,
    key_path: Path,
    out: Path,
    as_json: bool,
) -> None:
    """Sign a site document from a roster.

    The roster is a CSV file with the columns account, serial, profile, bus, unit and dt, and where
    needed phase, switch_unit, switch_channel, second_proof and protected (yes: nobody cuts it).

    The terms are a TOML file with helpdesk_phone and the tables pacing, limits, disconnection (in
    it [[disconnection.protected]]: weekdays, start, end), grace, [[transformers]] (id, feeder,
    check_meter) and [[technicians]] (id, name, roles, pin: what `pin` prints). What it does not say
    has its careful default: no grace, and no disconnection at night or on Sundays.

    \b
    Example:
      feeder-gateway utility site --csv roster.csv --gateway rewa-7 --feeder F11 --seq 1 \\
          --terms terms.toml --key keys/site-1.json --out site.jws
    """
    document = site_from_roster(
        roster,
        gateway=gateway,
        feeder=feeder,
        seq=seq,
        terms_path=terms,
    )
    signer = SigningKey.load(key_path)
    raw = signer.sign(DocumentType.SITE, payload_of(document))
    put(out, raw, document, (signer,), as_json)


@utility.command("list")
@click.option("--csv", "paid", type=FILE, required=True, help="The paid accounts, see below.")
@GATEWAY
@SEQ
@click.option("--as-of", help=f"Ledger time for which it stands: {TIME}.  [default: now]")
@click.option(
    "--stale-after", default="48h", show_default=True, help="90min, 48h or 30d after, or a time."
)
@click.option("--empty", is_flag=True, help="It is meant that nobody has paid.")
@click.option("--nonce", help="As the status of a gateway says it that knows nothing of before.")
@KEY
@OUT
@JSON
@ask_options
@tells_mistakes
def list_command(
    *,
    paid: Path,
    gateway: IdText,
    seq: int,
    as_of: str | None,
    stale_after: str,
    empty: bool,
    nonce: str | None,
    key_path: Path,
    out: Path,
    as_json: bool,
    settings: BrokerSettings | None,
    utility: IdText | None,
) -> None:
    """Sign the full list of a gateway's paid accounts.

    The table is a CSV file with the columns account, meter and n (the ledger time of the payment),
    and where wanted cut (yes: it was cut for arrears). Who is not on it has no authority to be
    reconnected; nobody is cut by it.

    A gateway that lost its memory asks for a list that echoes its nonce. With --ask-broker that
    comes from its own status.

    \b
    Example:
      feeder-gateway utility list --csv paid.csv --gateway rewa-7 --seq 12 \\
          --key keys/list-1.json --out list.jws
    """
    as_of_ms = wall_ms() if as_of is None else time_of("--as-of", as_of)
    document = list_from_table(
        paid,
        gateway=gateway,
        seq=seq,
        as_of_ms=as_of_ms,
        stale_after_ms=time_of("--stale-after", stale_after, as_of_ms),
        may_be_empty=empty,
        nonce=nonce_from(nonce, gateway, settings, utility),
    )
    signer = SigningKey.load(key_path)
    raw = signer.sign(DocumentType.LIST, payload_of(document))
    put(out, raw, document, (signer,), as_json)


@utility.command()
@click.option("--account", required=True, help="Who has paid.")
@click.option("--meter", required=True, help="Serial number of the account's meter.")
@click.option("--n", required=True, help=f"Ledger time of the payment: {TIME}.")
@click.option("--paid-at", help="When it was paid, likewise.  [default: the ledger time]")
@click.option(
    "--exp", default="30d", show_default=True, help="To be handed in within, or until a time."
)
@click.option("--gateway", callback=checked_id, help="Only this gateway may take it.")
@click.option("--ref", help="Payment reference as printed on the bill.")
@KEY
@OUT
@click.option("--svg", type=FILE, help="File to write the QR code to, for print.")
@click.option("--qr", "shown", is_flag=True, help="Show the QR code on this terminal.")
@JSON
@tells_mistakes
def receipt(
    account: str,
    meter: str,
    n: str,
    paid_at: str | None,
    exp: str,
    gateway: str | None,
    ref: str | None,
    key_path: Path,
    out: Path,
    svg: Path | None,
    shown: bool,
    as_json: bool,
) -> None:
    """Sign one account's proof of payment, also as a QR code.

    \b
    Example:
      feeder-gateway utility receipt --account 100200300 --meter 23014477 \\
          --n 2026-11-19T14:02:00+05:30 --ref 4471 \\
          --key keys/receipt-1.json --out receipt.jws --svg receipt.svg
    """
    n_ms = time_of("--n", n)
    paid_at_ms = n_ms if paid_at is None else time_of("--paid-at", paid_at)
    draft = Receipt(
        account=account,
        meter=meter,
        n=n_ms,
        paid_at=paid_at_ms,
        exp=time_of("--exp", exp, paid_at_ms),
        gateway=gateway,
        ref=ref,
    )
    document = checked_receipt(draft, wall_ms())
    signer = SigningKey.load(key_path)
    raw = signer.sign(DocumentType.RECEIPT, payload_of(document))
    code = qr_code(raw) if svg or shown else None
    if code is not None and svg is not None:
        write_whole(svg, qr_svg(code), PUBLIC)
    put(out, raw, document, (signer,), as_json)
    if code is not None and shown:
        click.echo(qr_text(code), err=as_json)
