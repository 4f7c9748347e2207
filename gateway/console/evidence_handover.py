"""Handing evidence over: `--export` and `--verify` at the command line.

Owns which options go together, progress, and the exit status of a verification. Must never say that
a file holds where the verification left anything open.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click
import msgspec
from click.core import ParameterSource

from gateway.console.chain import BrokenChain
from gateway.console.evidence_export import export_at, exported_lines
from gateway.console.evidence_file import lines_in
from gateway.console.evidence_papers import roots_of
from gateway.console.evidence_verify import Asked, device_key_of, proof_lines, prove
from gateway.core.signature import Rejected
from gateway.core.soundness import Unsound

PROGRESS_EVERY = 10_000
GOES_WITH = {
    "--verify": {"--device-key", "--root", "--json"},
    "--export": {"--config", "--with-pins", "--json"},
}
NEEDS = {"--device-key": "--verify", "--root": "--verify", "--with-pins": "--export"}


def check_use(context: click.Context) -> None:
    """Raises `click.UsageError` where options given together mean two things."""
    given = {
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name is not None
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    }
    for option, others in GOES_WITH.items():
        for other in sorted(given - others - {option}) if option in given else ():
            raise click.UsageError(f"{option} goes without {other}; leave one of them out")
    for option, needed in NEEDS.items():
        if option in given and needed not in given:
            raise click.UsageError(f"{option} goes with {needed}")


def verify(
    file: IO[bytes], device_key: str | None, anchor: IO[bytes] | None, *, as_json: bool
) -> None:
    """Print what a file proves; exit with 1 where that is not everything."""
    try:
        key = None if device_key is None else device_key_of(device_key)
    except Rejected as flaw:
        raise click.UsageError(
            f"--device-key: {flaw.detail}; give what the gateway's `init` printed"
        ) from flaw
    try:
        roots = None if anchor is None else roots_of(anchor.read())
    except (Rejected, Unsound) as refusal:
        raise click.UsageError(
            f"--root: {refusal}; give the root.json that the gateway has"
        ) from refusal
    with _counted("records checked") as progress:
        proof = prove(lines_in(file), Asked(key=key, roots=roots), progress)
    for line in [msgspec.json.encode(proof).decode()] if as_json else proof_lines(proof):
        click.echo(line)
    if not proof.holds:
        sys.exit(1)


def export(socket: Path, path: Path, *, with_pins: bool, as_json: bool) -> None:
    """Write the daemon's journal into a new file, and print what it holds."""
    try:
        with _counted("records written") as progress:
            told = export_at(socket, path, with_pins=with_pins, progress=progress)
    except BrokenChain as error:
        raise click.ClickException(f"the journal: {error}") from error
    for line in [msgspec.json.encode(told).decode()] if as_json else exported_lines(told):
        click.echo(line)


@contextmanager
def _counted(what: str) -> Iterator[Callable[[int], None]]:
    """A line that is written over, on a terminal only."""
    shown = sys.stderr.isatty()

    def show(number: int) -> None:
        if shown and number % PROGRESS_EVERY == 0:
            click.echo(f"\r{what}: {number}", err=True, nl=False)

    try:
        yield show
    finally:
        if shown:
            click.echo("\r\x1b[K", err=True, nl=False)
