"""Asking the daemon from the command line: one question, one answer, or one line of what is wrong.

Owns the options that every such command has, how an answer is printed, and what is said when no
daemon answers. Must never know the configuration file: whoever asks names the socket.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec

from gateway.console.local import Ask, AskRecords, LocalClient, RecordLine, Reply
from gateway.core.fact import Answer
from gateway.core.model import Value
from gateway.core.records import read_record

SocketOf = Callable[[Path], Path]
"""How a command finds the daemon: the local socket of a configuration file."""
CONFIG = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path("/etc/feeder-gateway/gateway.toml"),
    show_default=True,
    help="The gateway's configuration file.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")


class Answered(Value):
    """What became of one claim: `what` is a document's place, or the command and its target."""

    what: str
    answer: Answer


def ask_at(socket: Path, ask: Ask) -> Reply:
    """One exchange over the local socket. Raises `click.ClickException`."""
    try:
        reply = asyncio.run(LocalClient(socket).ask(ask))
    except PermissionError as error:
        raise click.ClickException(
            f"{socket}: {error.strerror}. Only the gateway's user and root may use it."
        ) from error
    except OSError as error:
        raise click.ClickException(
            f"{socket}: {error.strerror or error}. Is the gateway running?"
        ) from error
    except msgspec.DecodeError as error:
        raise click.ClickException(
            f"{socket}: no answer of this version ({error}). Restart the gateway."
        ) from error
    if reply.kind == "error":
        raise click.ClickException(reply.error)
    return reply


def records_at(socket: Path, after: int) -> Iterator[RecordLine]:
    """Every record numbered above `after`, oldest first. Raises `click.ClickException`."""
    while lines := ask_at(socket, AskRecords(after=after)).records:
        yield from lines
        after = read_record(bytes(lines[-1].record)).number


def say_answer(reply: Reply, what: str, as_json: bool) -> bool:
    """Print the answer to a claim. Returns whether it was accepted."""
    answer = reply.answer
    assert answer is not None
    if as_json:
        click.echo(msgspec.json.encode(Answered(what=what, answer=answer)))
    else:
        detail = f": {answer.detail}" if answer.detail else ""
        click.echo(f"{what}: {answer.word}{detail}")
    return answer.accepted
