"""The terms of a site from a TOML file.

Owns the file's shape: the tables and members are those of `core.terms`. Must never let a name pass
that it does not know: a misspelt ceiling would leave the default in force.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from gateway.bus.flaws import WORDS
from gateway.core.documents import METERS_MAX, TECHNICIANS_MAX, place_and_mend
from gateway.core.model import Value
from gateway.core.people import Technician
from gateway.core.terms import Disconnection, Grace, Limits, Pacing, Transformer
from gateway.utility.files import Mistake, mistake_in, read_whole

_TYPE = re.compile(rf"\b({'|'.join(WORDS)})\b")


class Terms(Value):
    """What a site document says beside its roster; the defaults are those of `core.terms`."""

    helpdesk_phone: Annotated[str, msgspec.Meta(max_length=32)] = ""
    pacing: Pacing = Pacing()
    limits: Limits = Limits()
    disconnection: Disconnection = Disconnection()
    grace: Grace | None = None
    transformers: Annotated[tuple[Transformer, ...], msgspec.Meta(max_length=METERS_MAX)] = ()
    technicians: Annotated[tuple[Technician, ...], msgspec.Meta(max_length=TECHNICIANS_MAX)] = ()
    unproven_profiles: tuple[str, ...] = ()


def read_terms(path: Path) -> Terms:
    """The terms of a TOML file. Raises `Mistake` with line and column, or the member."""
    content = read_whole(path)
    try:
        table = tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise Mistake(path, f"not UTF-8 at byte {error.start}", "save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise Mistake(path, f"not TOML ({error})", "correct it there") from error
    try:
        terms = msgspec.convert(table, Terms)
    except msgspec.ValidationError as error:
        raise mistake_in(path, _in_toml_words(place_and_mend(error)), "correct it") from error
    for name in _unknown(table, msgspec.to_builtins(terms), ""):
        raise Mistake(f"{path}: {name}", "there is no such member", "leave it out, or correct it")
    return terms


def _unknown(given: object, taken: object, place: str) -> Iterator[str]:
    """The members of a table that did not become a part of the value made of it."""
    match given, taken:
        case dict(), dict():
            for name, value in given.items():
                if name not in taken:
                    yield f"{place}{name}"
                yield from _unknown(value, taken.get(name), f"{place}{name}.")
        case list(), list() | tuple():
            for at, (value, part) in enumerate(zip(given, taken, strict=True)):
                yield from _unknown(value, part, f"{place.removesuffix('.')}[{at}].")
        case _:
            return


def _in_toml_words(said: str) -> str:
    if "argon2id" in said:
        # The pattern is a line long, and a PIN that was put there is not to be shown.
        return f"{said.partition(':')[0]}: not what a PIN is checked against; make it with `pin`"
    place, _, what = said.rpartition(": Expected ")
    if not place:
        return said
    return f"{place}: expected {_TYPE.sub(lambda found: WORDS[found[1]], what)}"
