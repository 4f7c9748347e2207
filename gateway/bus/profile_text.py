"""A meter type as TOML: what its file and those that it extends say together.

Owns the written form; read again, it is the same type. Must never leave out what is known, nor
where it is known from.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from gateway.bus.profile import Profile

ON_THE_LINE: Final = frozenset({"address", "first", "last", "mask", "opened", "closed", "values"})
"""Written in hexadecimal, as manuals do that count from 0."""


def toml_of(profile: Profile) -> str:
    """The text of one file that needs no other."""
    known = msgspec.to_builtins(profile)
    tables = {name: value for name, value in known.items() if isinstance(value, dict | tuple)}
    plain = {name: value for name, value in known.items() if name not in tables}
    from_0 = profile.address_base == 0
    lines = [*_settings(plain, from_0=from_0)]
    for name, value in tables.items():
        head = f"[{name}]" if isinstance(value, dict) else f"[[{name}]]"
        for block in (value,) if isinstance(value, dict) else value:
            lines += ["", head, *_settings(block, from_0=from_0)]
    return "\n".join(lines) + "\n"


def _settings(block: Mapping[str, Any], *, from_0: bool) -> Iterator[str]:
    for name, value in block.items():
        if value is not None:
            yield f"{name} = {_written(value, hexadecimal=from_0 and name in ON_THE_LINE)}"


def _written(value: Any, *, hexadecimal: bool) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() if hexadecimal:
            return f"0x{value:04X}"
        case tuple():
            return f"[{', '.join(_written(one, hexadecimal=hexadecimal) for one in value)}]"
        case dict():
            return f"{{ {', '.join(_settings(value, from_0=True))} }}"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)
