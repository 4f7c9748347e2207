"""The utility's commands: make keys, sign documents and orders, look at them, publish, collect.

Owns arguments, exit status (0 done, 1 failed, 2 used wrongly) and the readable forms. Must never
decide what a document says: the rooms beside this file do.
"""

import sys
from pathlib import Path

import click
import msgspec

from gateway.core.documents import Receipt
from gateway.core.model import Value
from gateway.core.signature import Algorithm, DocumentType, Rejected, load_root
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
    put,
    tells_mistakes,
    time_of,
)
from gateway.utility.broker import checked_id
from gateway.utility.collect import collect
from gateway.utility.files import PUBLIC, Mistake, read_whole, write_whole
from gateway.utility.keys import ROOT_FILE, KeySet
from gateway.utility.order_cli import order
from gateway.utility.publish import publish
from gateway.utility.receipt import checked_receipt, qr_code, qr_svg, qr_text
from gateway.utility.show import documents_in, judge, read_unproven, unproven_lines
from gateway.utility.sign import SigningKey, payload_of
from gateway.utility.site import site_from_roster


class KeysMade(Value):
    """Where the keys are, and what the gateways' anchor is known by."""

    directory: str
    keys: tuple[str, ...]
    root: str
    root_sha256: str


class Judged(Value):
    """A judgement with the place of the document."""

    place: str
    word: str
    detail: str
    digest: str
    """What a gateway's journal names the document by."""


@click.group()
def utility() -> None:
    """The utility's side: keys, orders, a head end.

    \b
    Example:
      feeder-gateway utility keys --dir keys
    """


utility.add_command(publish)
utility.add_command(collect)
utility.add_command(order)


@utility.command()
@click.option("--dir", "directory", type=FILE, required=True, help="New directory for the keys.")
@click.option(
    "--alg",
    type=click.Choice([alg.value for alg in Algorithm]),
    default=Algorithm.ED25519.value,
    show_default=True,
    help="ES256 where the utility's platform has no Ed25519.",
)
@JSON
@tells_mistakes
def keys(directory: Path, alg: str, as_json: bool) -> None:
    """Make a set of keys and the root of trust.

    Three root keys, of which two must agree, a site, a list and a receipt key, and two order keys:
    what can darken a home takes both. Give the gateways root.json only. Keep each root key in
    another safe, and give the order keys to two people.

    \b
    Example:
      feeder-gateway utility keys --dir keys
    """
    made = KeySet.make(Algorithm(alg))
    sha256 = made.save(directory, wall_ms())
    kids = tuple(key.kid for key in made.all())
    if as_json:
        root = str(directory / ROOT_FILE)
        made_known = KeysMade(directory=str(directory), keys=kids, root=root, root_sha256=sha256)
        click.echo(msgspec.json.encode(made_known))
        return
    click.echo(f"{directory}: {', '.join(f'{kid}.json' for kid in kids)} (private, mode 0600)")
    click.echo(f"{directory / ROOT_FILE}: root of trust, seq 1, signed by 2 of 3 root keys")
    click.echo(f"SHA-256 of the root: {sha256}")


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
    it [[disconnection.protected]]: weekdays, start, end), grace and [[transformers]] (id, feeder,
    check_meter). What it does not say has its careful default: no grace, and no disconnection at
    night or on Sundays.

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
    key = SigningKey.load(key_path)
    raw = key.sign(DocumentType.SITE, payload_of(document))
    put(out, raw, document, (key,), as_json)


@utility.command("list")
@click.option("--csv", "paid", type=FILE, required=True, help="The paid accounts, see below.")
@GATEWAY
@SEQ
@click.option("--as-of", help=f"Ledger time for which it stands: {TIME}.  [default: now]")
@click.option(
    "--stale-after", default="48h", show_default=True, help="90min, 48h or 30d after, or a time."
)
@click.option("--empty", is_flag=True, help="It is meant that nobody has paid.")
@KEY
@OUT
@JSON
@tells_mistakes
def list_command(
    paid: Path,
    gateway: str,
    seq: int,
    as_of: str | None,
    stale_after: str,
    empty: bool,
    key_path: Path,
    out: Path,
    as_json: bool,
) -> None:
    """Sign the full list of a gateway's paid accounts.

    The table is a CSV file with the columns account, meter and n (the ledger time of the payment),
    and where wanted cut (yes: it was cut for arrears). Who is not on it has no authority to be
    reconnected; nobody is cut by it.

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
    )
    key = SigningKey.load(key_path)
    raw = key.sign(DocumentType.LIST, payload_of(document))
    put(out, raw, document, (key,), as_json)


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
@click.option("--qr", is_flag=True, help="Show the QR code on this terminal.")
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
    qr: bool,
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
    key = SigningKey.load(key_path)
    raw = key.sign(DocumentType.RECEIPT, payload_of(document))
    code = qr_code(raw) if svg or qr else None
    if code is not None and svg is not None:
        write_whole(svg, qr_svg(code), PUBLIC)
    put(out, raw, document, (key,), as_json)
    if code is not None and qr:
        click.echo(qr_text(code), err=as_json)


@utility.command()
@click.argument("file", type=FILE)
@JSON
@tells_mistakes
def show(file: Path, as_json: bool) -> None:
    """Say what a document claims, without believing it.

    \b
    Example:
      feeder-gateway utility show receipt.jws
    """
    for place, raw in documents_in(file):
        unproven = read_unproven(place, raw)
        if as_json:
            click.echo(msgspec.json.encode(unproven))
        for line in () if as_json else unproven_lines(unproven):
            click.echo(line)


@utility.command("verify")
@click.argument("file", type=FILE)
@click.option("--root", "anchor", type=FILE, required=True, help="The gateways' root.json.")
@JSON
@tells_mistakes
def verify_command(file: Path, anchor: Path, as_json: bool) -> None:
    """Say whether a root vouches for a document.

    It says OK and what the document is, or the refusal's name, then with exit status 1.

    \b
    Example:
      feeder-gateway utility verify list.jws --root keys/root.json
    """
    try:
        root = load_root(read_whole(anchor))
    except Rejected as flaw:
        raise Mistake(anchor, str(flaw), "give the root.json that `keys` made") from flaw
    judged = [
        Judged(place=place, word=found.word, detail=found.detail, digest=found.digest)
        for place, raw in documents_in(file)
        for found in [judge(raw, root)]
    ]
    for each in judged:
        if as_json:
            click.echo(msgspec.json.encode(each))
        else:
            click.echo(f"{each.place}: {each.word}: {each.detail}")
    if any(each.word != "OK" for each in judged):
        sys.exit(1)
