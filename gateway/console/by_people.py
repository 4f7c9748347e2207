"""The commands by which people at the machine answer for something: tags, causes, going on.

Owns their arguments and exit status. Must never decide whether something is taken: `core.requests`
does, and its answer is printed. Each takes the name of who answers for it, and why.
"""

import sys
from pathlib import Path

import click

from gateway.console.asking import CONFIG, JSON, SocketOf, ask_at, say_answer
from gateway.console.local import Ask, AskCause, AskResume, AskTag
from gateway.core.fact import CauseClaim, ResumeClaim, TagKind
from gateway.core.model import Cause

BY = click.option("--by", required=True, metavar="NAME", help="Who answers for it.")
REASON = click.option("--reason", required=True, metavar="WHY", help="Why.")
CAUSES = {cause.lower().replace("_", "-"): cause for cause in Cause if cause is not Cause.ORDER}
"""What a person may say; an order that opened a switch has records of its own."""


def _tag_command(name: str, kind: TagKind, place: bool, target: str, says: str) -> click.Command:
    def command(
        socket_of: SocketOf, config_path: Path, as_json: bool, by: str, reason: str, on: str = ""
    ) -> None:
        ask = AskTag(kind=kind, target=on, place=place, by=by, reason=reason)
        _settle(socket_of(config_path), ask, f"{name} {on}", as_json)

    called = f"feeder-gateway {name} {target}".rstrip()
    command.__doc__ = f"{says}\n\n\b\nExample:\n  {called} --by NAME --reason WHY"
    answered_for = BY(REASON(click.pass_obj(command)))
    if target:
        answered_for = click.argument("on", metavar=target)(answered_for)
    return click.command(name)(CONFIG(JSON(answered_for)))


@click.command()
@CONFIG
@JSON
@click.argument("meter")
@click.option(
    "--cause", type=click.Choice(sorted(CAUSES)), required=True, help="What opened its switch."
)
@BY
@REASON
@click.pass_obj
def record_cause(
    socket_of: SocketOf,
    config_path: Path,
    as_json: bool,
    meter: str,
    cause: str,
    by: str,
    reason: str,
) -> None:
    """Say what opened a meter's switch.

    It settles CAUSE_UNKNOWN: a paid home that was cut for arrears, by its prepay logic or by a
    power failure is brought back; what a technician opened or a protection tripped stays open.

    \b
    Example:
      feeder-gateway record-cause METER --cause arrears --by NAME --reason WHY
    """
    claim = CauseClaim(meter=meter, cause=CAUSES[cause], by=by, reason=reason)
    ask = AskCause(claim=claim)
    _settle(socket_of(config_path), ask, f"record-cause {meter}", as_json)


@click.command()
@CONFIG
@JSON
@click.argument("dt")
@BY
@REASON
@click.pass_obj
def resume_dt(
    socket_of: SocketOf, config_path: Path, as_json: bool, dt: str, by: str, reason: str
) -> None:
    """Let a stopped transformer go on.

    Closes on it were stopped because too many failed unexplained, or its voltage was too low. Look
    for the fault first. After its cool-down it goes on by itself.

    \b
    Example:
      feeder-gateway resume-dt DT --by NAME --reason WHY
    """
    ask = AskResume(claim=ResumeClaim(dt=dt, by=by, reason=reason))
    _settle(socket_of(config_path), ask, f"resume-dt {dt}", as_json)


def _settle(socket: Path, ask: Ask, what: str, as_json: bool) -> None:
    if not say_answer(ask_at(socket, ask), what.rstrip(), as_json):
        sys.exit(1)


COMMANDS = (
    _tag_command("hold", TagKind.HOLD, True, "METER", "Forbid closing one meter, although paid."),
    _tag_command("release-hold", TagKind.HOLD, False, "METER", "Take a hold away."),
    _tag_command(
        "isolate-dt", TagKind.ISOLATE_DT, True, "DT", "People are at work on a transformer."
    ),
    _tag_command("end-dt", TagKind.ISOLATE_DT, False, "DT", "The work on a transformer is over."),
    _tag_command("isolate", TagKind.ISOLATE_FEEDER, True, "", "People are at work on the feeder."),
    _tag_command(
        "end-isolation", TagKind.ISOLATE_FEEDER, False, "", "The work on the feeder is over."
    ),
    record_cause,
    resume_dt,
)
