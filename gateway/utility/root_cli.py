"""The commands about the root of trust: the first one, those that follow, what one says.

Owns their arguments and readable forms. Must never decide whether a root may follow another:
`core.rotation` does, and is asked before anything is written.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.core.model import IdText, Value
from gateway.core.signature import digest_of
from gateway.core.trust import Revocation, Role, Root
from gateway.host.clock import wall_ms
from gateway.utility.arguments import (
    EXPIRES,
    FILE,
    JSON,
    OUT,
    TIME,
    Signed,
    signed_as,
    signed_lines,
    tells_mistakes,
    time_of,
)
from gateway.utility.broker import checked_id
from gateway.utility.files import PUBLIC, Mistake, read_whole, write_whole
from gateway.utility.key_file import read_key_file
from gateway.utility.roots import (
    Change,
    first_root,
    next_root,
    read_chain,
    read_root,
    sign_first,
    sign_next,
    without_signers,
    write_chain,
)
from gateway.utility.show import plain
from gateway.utility.sign import SigningKey, distinct_keys
from gateway.utility.when import show_time

KEY_FILES = click.option(
    "--key",
    "key_paths",
    type=FILE,
    multiple=True,
    required=True,
    help="Key file; give it for each.",
)


class RootMade(Signed):
    """A root that was signed."""

    sha256: str
    """Of the file, as a gateway that is installed with it shows it."""
    chain: tuple[str, int] | None
    """The chain file, and how many roots it holds now."""
    nobody_signs: tuple[str, ...]
    """Roles that no key is left for although there was one."""


class Sheet(Value):
    """What every new root is made of, beside what it is made for."""

    anchor: Path
    chain: Path | None
    add: tuple[Path, ...]
    remove: tuple[str, ...]
    thresholds: tuple[tuple[Role, int], ...]
    expires: str
    key_paths: tuple[Path, ...]
    out: Path
    as_json: bool

    def sign(self, revoke: tuple[Revocation, ...], *, recovers: bool) -> None:
        """Make the root after the old one, write it and say so. Raises `Mistake`."""
        if self.out.exists() and self.out.samefile(self.anchor):
            mend = "name a new file: the gateways that have the old one are led on from there"
            raise Mistake(self.out, "it is the old root", mend)
        old = read_chain(self.anchor, self.chain)
        now_ms = wall_ms()
        change = Change(
            add=tuple(read_key_file(path).key() for path in self.add),
            remove=self.remove,
            revoke=revoke,
            thresholds=self.thresholds,
        )
        root = next_root(old.root, change, now_ms, time_of("--expires", self.expires, now_ms))
        keys = distinct_keys([SigningKey.load(path) for path in self.key_paths])
        _check_set(keys, old.root, recovers=recovers)
        raw = sign_next(root, old.root, keys)
        write_whole(self.out, raw, PUBLIC)
        chain = None
        if self.chain is not None:
            lines = (*old.lines, raw.decode())
            write_chain(self.chain, lines)
            chain = (str(self.chain), len(lines))
        _say(self.out, raw, root, keys, self.as_json, chain, without_signers(root, old.root))


def next_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every root that follows; the command gets them as `sheet`."""

    @click.option(
        "--root", "anchor", type=FILE, required=True, help="The root.json that gateways have."
    )
    @click.option(
        "--chain", type=FILE, help="The roots after it, one a line; the new one is added there."
    )
    @click.option(
        "--add", type=FILE, multiple=True, help="Key file whose public half it is to name."
    )
    @click.option(
        "--remove",
        multiple=True,
        metavar="KID",
        help="Name of a key that it is not to name any more.",
    )
    @click.option(
        "--threshold",
        "thresholds",
        multiple=True,
        callback=_thresholds,
        metavar="ROLE=COUNT",
        help="How many keys of a role have to sign, where that is to change.",
    )
    @KEY_FILES
    @EXPIRES
    @OUT
    @JSON
    @tells_mistakes
    @functools.wraps(command)
    def with_sheet(**given: Any) -> None:
        names = Sheet.__struct_fields__
        sheet = Sheet(**{name: given.pop(name) for name in names})
        command(sheet, **given)

    return with_sheet


def _thresholds(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[Role, int], ...]:
    found = []
    for text in texts:
        role, _, count = text.partition("=")
        if role not in set(Role) or not (count.isascii() and count.isdecimal()):
            raise click.BadParameter(f"{text!r}: say for instance root=2")
        found.append((Role(role), int(count)))
    return tuple(found)


@click.group()
def root() -> None:
    """The root of trust: which keys count, and how many.

    Gateways follow from root to root, each signed by enough keys of the one before and enough of
    its own. Hand the chain file in, by any road: every line is a root.

    \b
    Examples:
      feeder-gateway utility key --kid receipt-2 --role receipt --out keys/receipt-2.json
      feeder-gateway utility root rotate --root keys/root.json --chain chain.jws \\
          --add keys/receipt-2.json --remove receipt-1 \\
          --key keys/root-1.json --key keys/root-2.json --out new-root.json
      feeder-gateway submit chain.jws
    """


@root.command()
@KEY_FILES
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    callback=_thresholds,
    metavar="ROLE=COUNT",
    help="How many keys of a role have to sign.  [default: 2 of root and of recovery, 1 of others]",
)
@EXPIRES
@OUT
@JSON
@tells_mistakes
def init(
    key_paths: tuple[Path, ...],
    thresholds: tuple[tuple[Role, int], ...],
    expires: str,
    out: Path,
    as_json: bool,
) -> None:
    """Sign the first root over keys that are there already.

    Every key file is named in it; of those of other people the public half is enough. It is signed
    by the root keys whose private half is given, of which there are two at least.

    \b
    Example:
      feeder-gateway utility root init --key root-1.json --key root-2.json --key site-1.json \\
          --key list-1.json --key receipt-1.json --key order-1.json --key order-2.json \\
          --out root.json
    """
    files = [(path, read_key_file(path)) for path in key_paths]
    now_ms = wall_ms()
    first = first_root(
        (file.key() for _, file in files), now_ms, time_of("--expires", expires, now_ms), thresholds
    )
    signs = [
        SigningKey.load(path)
        for path, file in files
        if Role.ROOT in file.roles and (file.private, file.pkcs11) != (None, None)
    ]
    keys = distinct_keys(signs)
    raw = sign_first(first, keys)
    write_whole(out, raw, PUBLIC)
    _say(out, raw, first, keys, as_json)


@root.command()
@next_options
def rotate(sheet: Sheet) -> None:
    """Sign the root after this one: keys added, keys removed.

    Enough root keys of the old one sign it, and enough of the new one; where that is the same set,
    once is enough.

    \b
    Example:
      feeder-gateway utility root rotate --root keys/root.json --chain chain.jws \\
          --add keys/list-2.json --remove list-1 \\
          --key keys/root-1.json --key keys/root-2.json --out new-root.json
    """
    sheet.sign((), recovers=False)


@root.command()
@click.option("--kid", callback=checked_id, required=True, help="The key whose word ends.")
@click.option("--after", required=True, help=f"What it signed later counts for nothing: {TIME}.")
@next_options
def revoke(sheet: Sheet, kid: IdText, after: str) -> None:
    """Sign the root after this one, in which a key's word ends.

    What the key signed with a time of issue after the instant is refused from then on; what it has
    granted already stands, and gateways flag it. What bears no such time, a site, is refused
    altogether. Name a key in its place with --add.

    \b
    Example:
      feeder-gateway utility root revoke --root keys/root.json --chain chain.jws \\
          --kid receipt-1 --after 2026-11-19T14:00:00+05:30 --add keys/receipt-2.json \\
          --key keys/root-1.json --key keys/root-2.json --out new-root.json
    """
    after_ms = time_of("--after", after)
    if after_ms > wall_ms():
        wrong = "it is yet to come, and the key counts until then"
        raise Mistake("--after", wrong, "say since when it is not trusted")
    revocation = Revocation(kid=kid, after=after_ms)
    sheet.sign((revocation,), recovers=False)


@root.command()
@next_options
def recover(sheet: Sheet) -> None:
    """Sign the root after this one by the recovery set.

    When root keys are lost or stolen, the recovery keys stand in for the old ones; enough of the
    new root's own sign it too. This is also the only way to change the recovery set itself. Seal
    the recovery keys away again.

    \b
    Example:
      feeder-gateway utility root recover --root keys/root.json --chain chain.jws \\
          --remove root-1 --remove root-2 --remove root-3 \\
          --add new/root-4.json --add new/root-5.json --add new/root-6.json \\
          --key sealed/recovery-1.json --key sealed/recovery-2.json \\
          --key new/root-4.json --key new/root-5.json --out new-root.json
    """
    sheet.sign((), recovers=True)


@root.command("show")
@click.argument("file", type=FILE)
@JSON
@tells_mistakes
def show_root(file: Path, as_json: bool) -> None:
    """Say what a root of trust says.

    Its keys, how many of them it takes, and what is revoked. Of a chain it is the last. Its own
    signatures are checked; whether it is the utility's, only the SHA-256 in the enclosure tells.

    \b
    Example:
      feeder-gateway utility root show keys/root.json
    """
    shown = read_root(file)
    sha256 = digest_of(read_whole(file))
    if as_json:
        click.echo(msgspec.json.encode({"root": shown, "sha256": sha256}))
        return
    for line in _root_lines(shown):
        click.echo(line)
    click.echo(f"SHA-256 of the file: {sha256}")


def _check_set(keys: tuple[SigningKey, ...], old: Root, *, recovers: bool) -> None:
    given = {key.kid for key in keys if Role.RECOVERY in key.roles}
    if not recovers and given:
        raise Mistake(
            f"key {min(given)}", "a recovery key, and nothing is lost", "use `root recover`"
        )
    needed = old.threshold(Role.RECOVERY)
    those = [key.kid for key in old.of_role(Role.RECOVERY)]
    if recovers and not those:
        raise Mistake("--root", "it names no recovery set", "use `root rotate`")
    if recovers and len(given.intersection(those)) < needed:
        wrong = f"BELOW_THRESHOLD: {len(given.intersection(those))} of {needed} recovery keys sign"
        raise Mistake("the root", wrong, f"name {', '.join(those)} with --key")


def _say(
    out: Path,
    raw: bytes,
    root: Root,
    keys: tuple[SigningKey, ...],
    as_json: bool,
    chain: tuple[str, int] | None = None,
    nobody_signs: tuple[Role, ...] = (),
) -> None:
    signed = signed_as(out, raw, root, keys)
    made = RootMade(
        **msgspec.structs.asdict(signed),
        sha256=digest_of(raw),
        chain=chain,
        nobody_signs=tuple(nobody_signs),
    )
    if as_json:
        click.echo(msgspec.json.encode(made))
        return
    for line in signed_lines(signed):
        click.echo(line)
    click.echo(f"SHA-256 of the file: {made.sha256}")
    if chain is not None:
        click.echo(f"{chain[0]}: roots after the first, one a line: {chain[1]}")
    for role in nobody_signs:
        click.echo(f"Careful: too few {role} keys are left to sign; name one with --add.")


def _root_lines(root: Root) -> Iterator[str]:
    ends = "never" if root.expires is None else show_time(root.expires)
    yield f"root of trust, seq {root.seq}, issued {show_time(root.issued_at)}, expires {ends}"
    for role in Role:
        keys = ", ".join(f"{plain(key.kid)} ({key.alg})" for key in root.of_role(role))
        if keys:
            yield f"  {role:<9} {root.threshold(role)} of: {keys}"
    for one in root.revoked:
        yield f"  revoked   {one.kid}: what it signed after {show_time(one.after)}"
