"""`rules`: the law as tables, read from the guards themselves.

Owns the command and its printed forms. Must never write a rule down a second time: the words, their
order and what each asks come from `core.reconnection` and `core.disconnection`.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

import click
import msgspec

from gateway.console.asking import JSON
from gateway.console.words import MEANING
from gateway.core.disconnection import (
    OPEN_GUARDS,
    OPEN_WIRE_GUARDS,
    RELEASE_GUARDS,
    OpenVerdict,
)
from gateway.core.model import Value
from gateway.core.reconnection import GUARDS, STANDING_GUARDS, WIRE_GUARDS, Verdict


class Rule(Value):
    """One line of a table: the guard's place, its verdict, and what it asks."""

    number: int
    verdict: str
    asks: str


class RuleTable(Value):
    """Guards in their order; the first that stands against it gives the verdict."""

    title: str
    rules: tuple[Rule, ...]


def rule_tables() -> tuple[RuleTable, ...]:
    """Every ordered list of guards of the law."""
    again = ", ".join(f"`{verdict}`" for verdict, _ in STANDING_GUARDS)
    every = "all of that is asked again first, then with what was just read"
    return (
        _table("A close, before it is decided", GUARDS, Verdict.PACED, Verdict.PERMIT),
        _table(
            f"A close, before the write: {again} are asked again first, then with what was just "
            "read",
            WIRE_GUARDS,
            Verdict.PERMIT,
        ),
        _table(
            "An opening, before it is decided", OPEN_GUARDS, OpenVerdict.PACED, OpenVerdict.PERMIT
        ),
        _table(
            "A release, before it is decided",
            RELEASE_GUARDS,
            OpenVerdict.PACED,
            OpenVerdict.PERMIT,
        ),
        _table(
            f"An opening or a release, before the write: {every}",
            OPEN_WIRE_GUARDS,
            OpenVerdict.PERMIT,
        ),
    )


def markdown(tables: Sequence[RuleTable]) -> str:
    """The tables as Markdown, each under its title."""
    return "\n\n".join("\n".join(_markdown_lines(table)) for table in tables)


@click.command()
@JSON
def rules(as_json: bool) -> None:
    """Print the law: every guard in its order.

    The Markdown tables are read from the code that rules on every close and every opening; nothing
    need run.

    \b
    Examples:
      feeder-gateway rules
      feeder-gateway rules --json
    """
    tables = rule_tables()
    click.echo(msgspec.json.encode(tables) if as_json else markdown(tables))


def _table(
    title: str, guards: Sequence[tuple[StrEnum, Callable[..., bool]]], *afterwards: StrEnum
) -> RuleTable:
    asked = [(verdict, _asks(guard)) for verdict, guard in guards]
    asked += [(verdict, f"{MEANING[verdict].capitalize()}.") for verdict in afterwards]
    return RuleTable(
        title=title,
        rules=tuple(
            Rule(number=number, verdict=verdict, asks=asks)
            for number, (verdict, asks) in enumerate(asked, start=1)
        ),
    )


def _asks(guard: Callable[..., bool]) -> str:
    """A guard's docstring, which is one sentence."""
    assert guard.__doc__ is not None, "a guard says what it asks"
    return " ".join(guard.__doc__.split())


def _markdown_lines(table: RuleTable) -> list[str]:
    return [
        f"**{table.title}**",
        "",
        "| | verdict | when |",
        "|---|---|---|",
        *(f"| {rule.number} | `{rule.verdict}` | {rule.asks} |" for rule in table.rules),
    ]
