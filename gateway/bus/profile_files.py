"""Profile files: where they lie, how each is read, and which one extends which.

Owns the names of the files, their TOML and `extends`. Must never know what a block means: `profile`
makes a meter type of what is merged here.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

BUNDLED: Final = Path(__file__).parent / "profiles"
SUFFIX: Final = ".toml"
NAME: Final = re.compile(r"[a-z0-9-]{1,48}")

Files = Mapping[str, Path]
"""Profile files by the name of their type."""


class ProfileError(Exception):
    """A mistake in a profile: one line with the file, the place in it and the mend."""

    def __init__(self, path: Path, place: str, problem: str, mend: str) -> None:
        super().__init__(f"{path}: {place}: {problem}. {mend}.".replace("\n", " "))
        self.path = path
        self.place = place
        self.problem = problem
        self.mend = mend


def files_in(directory: Path) -> dict[str, Path]:
    """All profile files of a directory. Raises `ProfileError`."""
    if not directory.is_dir():
        raise ProfileError(
            directory, "the directory", "there is none", "Make it, or leave the setting out"
        )
    return {path.stem: path for path in sorted(directory.glob(f"*{SUFFIX}"))}


def merged_table(path: Path, site: Files, bundled: Files) -> dict[str, Any]:
    """What a file says, on top of what it extends. Raises `ProfileError`."""
    table, name, seen = _table(path), path.stem, {path}
    while (parent := table.get("extends")) is not None:
        # A site's file of the same name extends the bundled one.
        source = site.get(parent) if parent != name else None
        source = source or bundled.get(parent)
        if source is None or source in seen:
            problem = f"there is no profile {parent}" if source is None else "it extends itself"
            names = ", ".join(sorted({*bundled, *site} - {name}))
            raise ProfileError(path, "extends", problem, f"Name one of {names}")
        seen.add(source)
        table = _on_top(_table(source), table, path, parent)
        name = parent
    return table


def _table(path: Path) -> dict[str, Any]:
    if path.suffix != SUFFIX or not NAME.fullmatch(path.stem):
        raise ProfileError(
            path,
            "the file's name",
            f"{path.name} cannot be a profile's name",
            f"Use small letters, digits and hyphens, at most 48, and {SUFFIX}",
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(
            path, "the file", error.strerror or str(error), "Make it readable"
        ) from error
    except UnicodeDecodeError as error:
        raise ProfileError(
            path, f"byte {error.start}", "not UTF-8", "Save the file as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        problem, _, place = str(error).rstrip(")").partition(" (at ")
        raise ProfileError(path, place, problem, "Correct the TOML there") from error


def _on_top(
    base: Mapping[str, Any], over: Mapping[str, Any], path: Path, parent: str
) -> dict[str, Any]:
    own = {key: value for key, value in over.items() if key != "extends"}
    counted = base.get("address_base", 0)
    if own.get("address_base", counted) != counted:
        raise ProfileError(
            path,
            "address_base",
            f"the addresses of {parent} count from {counted}",
            "Leave it out, and give addresses as it does",
        )
    return _merged(base, own)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **over}
    for key in base.keys() & over.keys():
        below, above = base[key], over[key]
        if isinstance(below, dict) and isinstance(above, dict):
            merged[key] = _merged(below, above)
    return merged
