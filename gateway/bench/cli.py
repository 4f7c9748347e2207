"""`bench`: the simulated line, alone, and its back door for people.

Owns the commands that speak with a running line. Must never be imported by the daemon.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
import msgspec

from gateway.bench.control import ControlError, LineControl, Truth
from gateway.bench.faults import FaultError, Faults, parse
from gateway.bench.line import counted, line
from gateway.bench.meters import MeterTruth

CONTROL = click.option(
    "--control", required=True, metavar="SOCKET", help="The socket that the line was given."
)
AnswerT = TypeVar("AnswerT")


@click.group()
def bench() -> None:
    """The simulated world, piece by piece.

    \b
    Example:
      feeder-gateway bench line --meters meters.json
    """


@click.command()
@CONTROL
@click.option("--clear", is_flag=True, help="End first what goes wrong now.")
@click.argument("faults", nargs=-1, metavar="[[SERIAL:]NAME[=VALUE],...]...")
def fault(control: str, clear: bool, faults: tuple[str, ...]) -> None:
    """Change what goes wrong on a running line.

    \b
    Examples:
      feeder-gateway bench fault --control line.sock late=0.05 HK-5:stuck
      feeder-gateway bench fault --control line.sock unplugged
      feeder-gateway bench fault --control line.sock unplugged=0
      feeder-gateway bench fault --control line.sock --clear
    """
    if not faults and not clear:
        raise click.UsageError("name a fault, or say --clear")
    try:
        parsed = [parse(it) for it in faults]
    except FaultError as mistake:
        raise click.UsageError(str(mistake)) from None
    _ask(control, lambda client: _befall(client, parsed, clear=clear))


@click.command()
@CONTROL
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def status(control: str, as_json: bool) -> None:
    """Show what is the case on a running line.

    Whatever its registers say.

    \b
    Examples:
      feeder-gateway bench status --control line.sock
      feeder-gateway bench status --control line.sock --json
    """
    truth = _ask(control, LineControl.truth)
    if as_json:
        click.echo(msgspec.json.encode(truth))
        return
    for told in in_words(truth):
        click.echo(told)


def in_words(truth: Truth) -> list[str]:
    """What is the case, a line each."""
    wanted = ", ".join(f"{name}={it}" for name, it in msgspec.to_builtins(truth.faults).items())
    return [
        *map(_meter, truth.meters),
        f"passed: {counted(truth.wire)}",
        f"wanted: {wanted or 'no faults'}",
        f"faults: {counted(truth.injected)}",
    ]


def _meter(it: MeterTruth) -> str:
    notes = [name for name in ("dead", "stuck", "lies") if getattr(it, name)]
    notes += [f"answers {it.answers_serial}"] if it.answers_serial != it.serial else []
    notes += [f"back-feed {it.backfeed_v:g} V"] if it.backfeed_v else []
    position = "closed" if it.closed else "open"
    told = f"unit {it.unit:3}  {it.serial:12}  {position:6}  {it.power_w:7.0f} W  moves {it.moves}"
    return "  ".join((told, *notes))


async def _befall(
    client: LineControl, faults: list[tuple[str | None, Faults]], *, clear: bool
) -> None:
    if clear:
        await client.clear()
    for serial, said in faults:
        await client.fault(said, serial)


def _ask(control: str, exchange: Callable[[LineControl], Awaitable[AnswerT]]) -> AnswerT:
    async def asked() -> AnswerT:
        client = await LineControl.connect(control)
        try:
            return await exchange(client)
        finally:
            await client.close()

    try:
        return asyncio.run(asked())
    except OSError as failure:
        raise click.ClickException(
            f"no line at {control}: {failure.strerror or failure}; start it with --control"
        ) from None
    except ControlError as refusal:
        raise click.ClickException(str(refusal)) from None


for command in (line, fault, status):
    bench.add_command(command)
