"""Asking the daemon from the command line: one question, one answer, or one line of what is wrong.

Owns the options that every such command has, how an answer is printed, and what is said when no
daemon answers. Must never know the configuration file: whoever asks names the socket.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from gateway.console.local import (
    Ask,
    AskRecords,
    AskRest,
    AskRestEnd,
    LocalClient,
    RecordLine,
    Reply,
)
from gateway.core.fact import Answer
from gateway.core.model import Value
from gateway.core.records import read_record

T = TypeVar("T")
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


class NotRunning(click.ClickException):
    """No daemon serves the socket."""


def ask_at(socket: Path, ask: Ask) -> Reply:
    """One exchange over the local socket. Raises `click.ClickException`."""
    with _in_words(socket):
        return _unless_error(asyncio.run(LocalClient(socket).ask(ask)))


def at_rest(socket: Path, work: Callable[[Reply], T]) -> T:
    """What `work` makes of the journal's file, which stands still meanwhile.

    Raises `click.ClickException` and what `work` raises; `NotRunning` where nobody has it open.
    """

    async def working() -> T:
        async with LocalClient(socket).talking() as exchange:
            reply = _unless_error(await exchange(AskRest()))
            try:
                done = work(reply)
            except Exception as error:
                raise _WorkFailed(error) from error
            if not (await exchange(AskRestEnd())).still:
                raise click.ClickException(
                    f"{socket}: too much was written meanwhile. Try again at a quieter time."
                )
            return done

    try:
        with _in_words(socket):
            return asyncio.run(working())
    except _WorkFailed as failed:
        raise failed.error from None


class _WorkFailed(Exception):  # noqa: N818 - it carries the error
    """What was done meanwhile failed: no fault of the socket."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _unless_error(reply: Reply) -> Reply:
    if reply.kind == "error":
        raise click.ClickException(reply.error)
    return reply


@contextmanager
def _in_words(socket: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise click.ClickException(
            f"{socket}: {error.strerror}. Only the gateway's user and root may use it."
        ) from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunning(f"{socket}: {error.strerror}. Is the gateway running?") from error
    except OSError as error:
        raise click.ClickException(
            f"{socket}: {error.strerror or error}. Is the gateway running?"
        ) from error
    except msgspec.DecodeError as error:
        raise click.ClickException(
            f"{socket}: no answer of this version ({error}). Restart the gateway."
        ) from error


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
