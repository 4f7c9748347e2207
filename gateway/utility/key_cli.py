"""The commands that make keys: a whole set with its root, or one more.

Owns their arguments. Must never show a private key, nor write over one.
"""

from pathlib import Path

import click
import msgspec

from gateway.core.model import IdText, Value
from gateway.core.trust import Algorithm, Role
from gateway.host.clock import wall_ms
from gateway.utility.arguments import ALG, EXPIRES, FILE, JSON, tells_mistakes, time_of
from gateway.utility.broker import checked_id
from gateway.utility.files import Mistake
from gateway.utility.key_file import TokenPlace
from gateway.utility.keys import ROOT_FILE, ROOT_KEYS, KeySet
from gateway.utility.roots import ROOT_THRESHOLD
from gateway.utility.sign import SigningKey, no_token_library


class KeysMade(Value):
    """Where the keys are, and what the gateways' anchor is known by."""

    directory: str
    keys: tuple[str, ...]
    root: str
    root_sha256: str
    seal_away: tuple[str, ...]
    """The recovery set's files: they belong into sealed envelopes, not on this machine."""


class KeyMade(Value):
    """One key, by its public half."""

    file: str
    kid: str
    alg: str
    roles: tuple[str, ...]
    public: str
    in_token: bool


@click.command()
@click.option("--dir", "directory", type=FILE, required=True, help="New directory for the keys.")
@ALG
@EXPIRES
@JSON
@tells_mistakes
def keys(directory: Path, alg: str, expires: str, as_json: bool) -> None:
    """Make a set of keys and the root of trust.

    Three root keys, of which two must agree; a site, a list, a receipt, a badge and a time key; two
    order keys, for what can darken a home takes both; and a recovery set of two, which can put a
    new root in place when the root keys are lost or stolen. Give the gateways root.json only. Keep
    each root key in another safe, give the order keys to two people, and seal the recovery keys
    away: in two envelopes, in two places, on no machine.

    \b
    Example:
      feeder-gateway utility keys --dir keys
    """
    made = KeySet.make(Algorithm(alg))
    now_ms = wall_ms()
    sha256 = made.save(directory, now_ms, time_of("--expires", expires, now_ms))
    kids = tuple(key.kid for key in made.all())
    sealed = tuple(f"{directory / key.kid}.json" for key in made.recovery)
    if as_json:
        told = KeysMade(
            directory=str(directory),
            keys=kids,
            root=str(directory / ROOT_FILE),
            root_sha256=sha256,
            seal_away=sealed,
        )
        click.echo(msgspec.json.encode(told))
        return
    signed = f"signed by {ROOT_THRESHOLD} of {ROOT_KEYS} root keys"
    click.echo(f"{directory}: {', '.join(f'{kid}.json' for kid in kids)} (private, mode 0600)")
    click.echo(f"{directory / ROOT_FILE}: root of trust, seq 1, {signed}")
    click.echo(f"SHA-256 of the file: {sha256}")
    click.echo(
        f"Seal away, and delete here: {' and '.join(sealed)}. Only both "
        "together replace lost or stolen root keys."
    )


@click.command()
@click.option("--kid", callback=checked_id, required=True, help="The key's name, new in the root.")
@click.option(
    "--role",
    "roles",
    type=click.Choice([role.value for role in Role if role is not Role.GATEWAY]),
    multiple=True,
    required=True,
    help="What it may sign.",
)
@ALG
@click.option("--module", help="PKCS #11: path of the token maker's library.")
@click.option("--token", help="PKCS #11: label of the token.")
@click.option("--label", help="PKCS #11: label of the key there.  [default: --kid]")
@click.option("--out", type=FILE, required=True, help="Key file to write; it must be new.")
@JSON
@tells_mistakes
def key(
    kid: IdText,
    roles: tuple[str, ...],
    alg: str,
    module: str | None,
    token: str | None,
    label: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Make one more key, in a file or in a token.

    With --module and --token the private half is made in that token and never leaves it; where the
    token has a key of that label, that one is taken. The file then says where it lies. The PIN
    comes from the environment variable FEEDER_GATEWAY_PKCS11_PIN, or is asked for.

    It signs nothing that a gateway takes until a root names it: see `root rotate`.

    \b
    Examples:
      feeder-gateway utility key --kid receipt-2 --role receipt --out keys/receipt-2.json
      feeder-gateway utility key --kid order-3 --role order --alg ES256 \\
          --module /usr/lib/softhsm/libsofthsm2.so --token desk --out keys/order-3.json
    """
    if (module is None) != (token is None) or (label is not None and module is None):
        raise click.UsageError("--module and --token belong together, --label to them.")
    if out.exists():
        raise Mistake(out, "there is a file already", "keys are never written over: name a new one")
    role_set = tuple(Role(role) for role in roles)
    if module is None or token is None:
        made = SigningKey.make(kid, Algorithm(alg), role_set)
    else:
        place = TokenPlace(module=module, token=token, label=label or kid)
        made = _in_token(place, kid, Algorithm(alg), role_set)
    made.save(out)
    public = made.public()
    told = KeyMade(
        file=str(out),
        kid=kid,
        alg=public.alg,
        roles=tuple(public.roles),
        public=public.public,
        in_token=module is not None,
    )
    if as_json:
        click.echo(msgspec.json.encode(told))
        return
    where = "the private half is in the token" if told.in_token else "private, mode 0600"
    click.echo(f"{out}: {public.alg} key {kid} of role {', '.join(roles)} ({where})")


def _in_token(
    place: TokenPlace, kid: IdText, alg: Algorithm, roles: tuple[Role, ...]
) -> SigningKey:
    try:
        # Only who has a token needs that library.
        from gateway.utility.in_token import found_in_token, make_in_token  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise no_token_library(place) from error
    found = found_in_token(place)
    if found is None:
        return SigningKey(kid, alg, roles, make_in_token(place, alg))
    there, half = found
    if there is not alg:
        raise Mistake(place, f"it is an {there} key", f"say --alg {there}, or another --label")
    return SigningKey(kid, alg, roles, half)
