"""Every flaw of a table that is to become a struct, each with its place and the mend.

Owns how what msgspec refuses is said to a person who wrote TOML: all of it, not the first only.
Must never know what a setting means: a struct says in its types, and by raising `Contradiction`,
what it can be.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec

from gateway.bus.blocks import Contradiction, Contradictions
from gateway.core.model import Value

TOP: Final = "top level"
WORDS: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
"""What msgspec calls the types, in the words of a person who writes TOML."""


DecodeHook = Callable[[type[Any], Any], Any]


class Flaw(Value):
    """One thing that cannot be so. `place` is as in `close.writes[0].address`."""

    place: str
    problem: str
    mend: str


def flaws_of(
    value: object, kind: Any, place: str = TOP, *, dec_hook: DecodeHook | None = None
) -> Iterator[Flaw]:
    """Everything that keeps a value from becoming this kind. None: `msgspec.convert` takes it.

    `dec_hook`: as `msgspec.convert` takes it.
    """
    bare, *limits = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    struct, many = _struct_in(bare), get_origin(bare) is tuple
    if struct is not None and many and isinstance(value, list):
        several = Annotated[tuple[Any, ...], msgspec.Meta(), *limits]
        yield from _of_value(value, several, place, dec_hook)
        for at, item in enumerate(value):
            yield from flaws_of(item, struct, f"{place}[{at}]", dec_hook=dec_hook)
    elif struct is not None and many and isinstance(value, dict):
        yield Flaw(place=place, problem="a single table", mend=f"Write [[{place}]], once for each")
    elif struct is not None and isinstance(value, dict):
        yield from _of_table(value, struct, place, dec_hook)
    else:
        yield from _of_value(value, kind, place, dec_hook)


def _of_table(
    table: Mapping[str, object],
    struct: type[msgspec.Struct],
    place: str,
    dec_hook: DecodeHook | None,
) -> Iterator[Flaw]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    found = [
        Flaw(
            place=place,
            problem=f"{name} is not a setting",
            mend="Remove it, or correct its name",
        )
        for name in table
        if name not in fields
    ]
    for name, field in fields.items():
        if name in table:
            within = _within(place, name)
            found += flaws_of(table[name], field.type, within, dec_hook=dec_hook)
        elif field.required:
            found.append(Flaw(place=place, problem=f"{name} is missing", mend="Add it"))
    # What its parts say against each other counts once each of them can be read.
    yield from found or _contradictions(table, struct, place, dec_hook)


def _contradictions(
    table: Mapping[str, object],
    struct: type[msgspec.Struct],
    place: str,
    dec_hook: DecodeHook | None,
) -> Iterator[Flaw]:
    try:
        msgspec.convert(table, struct, dec_hook=dec_hook)
    except msgspec.ValidationError as error:
        cause = error.__cause__
        each = cause.each if isinstance(cause, Contradictions) else (cause,)
        for one in each:
            assert isinstance(one, Contradiction), "all else was looked at before"
            where = _within(place, one.field) if one.field else place
            yield Flaw(place=where, problem=one.problem, mend=one.mend)


def _of_value(value: object, kind: Any, place: str, dec_hook: DecodeHook | None) -> Iterator[Flaw]:
    try:
        msgspec.convert(value, kind, dec_hook=dec_hook)
    except msgspec.ValidationError as error:
        # msgspec says "Expected `int`, got `str` - at `$[0]`".
        message, _, within = str(error).partition(" - at ")
        place += within.strip("`").removeprefix("$")
        yield _in_words(message, value, kind, place)


def _in_words(message: str, value: object, kind: Any, place: str) -> Flaw:
    if message.startswith("Invalid enum value"):
        allowed = ", ".join(map(str, _allowed(kind)))
        return Flaw(place=place, problem=f"{value} is not possible", mend=f"Give one of {allowed}")
    words = re.sub(r"`(\w+)(?: \| null)?`", lambda found: WORDS.get(found[1], found[0]), message)
    return Flaw(place=place, problem=words[0].lower() + words[1:], mend="Correct the value")


def _allowed(kind: Any) -> list[object]:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [member.value for member in kind]
    return [value for part in get_args(kind) for value in _allowed(part)]


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    for part in (kind, *get_args(kind)):
        if isinstance(part, type) and issubclass(part, msgspec.Struct):
            return part
    return None


def _within(place: str, name: str) -> str:
    return name if place == TOP else f"{place}.{name}"
