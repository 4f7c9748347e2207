"""YAML from plain values: block style, strings in double quotes or as literal blocks.

Owns the little that is needed of YAML 1.2. Must never write what another reader could take for
something else than a string.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

_PLAIN_KEY = re.compile(r"\$?[A-Za-z][A-Za-z0-9_-]*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Which YAML 1.1 takes for other things."""


def yaml_text(value: dict[str, Any]) -> str:
    """A whole document."""
    return "\n".join(_mapping(value, 0)) + "\n"


def _mapping(value: dict[str, Any], indent: int) -> Iterator[str]:
    for key, one in value.items():
        yield from _entry(" " * indent + f"{_key(key)}:", one, indent)


def _sequence(value: list[Any], indent: int) -> Iterator[str]:
    for one in value:
        lines = list(_entry(" " * indent + "-", one, indent))
        if isinstance(one, dict) and one:
            # The first member stands beside the dash.
            yield f"{lines[0]} {lines[1].lstrip()}"
            yield from lines[2:]
        else:
            yield from lines


def _entry(begin: str, value: Any, indent: int) -> Iterator[str]:
    if isinstance(value, str) and "\n" in value:
        yield f"{begin} |-"
        yield from (f"{' ' * (indent + 2)}{line}".rstrip() for line in value.split("\n"))
    elif isinstance(value, dict) and value:
        yield begin
        yield from _mapping(value, indent + 2)
    elif isinstance(value, list) and value:
        yield begin
        yield from _sequence(value, indent + 2)
    else:
        yield f"{begin} {json.dumps(value, ensure_ascii=False)}"


def _key(key: str) -> str:
    plain = _PLAIN_KEY.fullmatch(key) and key.lower() not in _WORDS
    return key if plain else json.dumps(key)
