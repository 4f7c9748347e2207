"""Asking the daemon from the command line: one question, one answer, or one line of what is wrong.

Owns the options that every such command has, and what is said when no daemon answers. Must never
know the configuration file: whoever asks names the socket.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from gateway.console.local import Ask, AskRecords, LocalClient, RecordLine, Reply
from gateway.core.fact import read_record

CONFIG = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path("/etc/feeder-gateway/gateway.toml"),
    show_default=True,
    help="The gateway's configuration file.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")


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
