"""The commands of the bus: the meter types that this gateway knows, and those that a site adds.

Owns arguments, exit status (0 done, 1 failed, 2 used wrongly) and the readable forms. Must never
ask a line anything: what a profile says is read from its file.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

import click
import msgspec

from gateway.bus.blocks import Block, Evidence, Instruction, Measure, Quantity, SerialLine
from gateway.bus.profile import (
    Lack,
    Profile,
    ProfileError,
    load_profile,
    load_profiles,
    mistakes_in,
)
from gateway.bus.profile_files import BUNDLED, files_in
from gateway.bus.profile_text import toml_of
from gateway.console.asking import JSON
from gateway.core.model import ProfileAbility, Value

DIRECTORY = click.option(
    "--profiles-directory",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A site's own meter types, beside the bundled ones.",
)
LACKING: Final = {
    Lack.STATE: "there is no state to read back",
    Lack.STATE_ADDRESS: "state.address is not given",
    Lack.EVIDENCE: "a single source is not enough",
}
MENDS: Final = {
    Lack.STATE: "Give [state]",
    Lack.STATE_ADDRESS: "Ask the maker for it",
    Lack.EVIDENCE: (
        'Try it on a meter, then give evidence = "hardware", and as source where; or have the site '
        "document name the type in unproven_profiles"
    ),
}
Sorted = TypeVar("Sorted")


class Known(Value):
    """How well a block is known, from where, and what keeps it from being used."""

    evidence: Evidence
    source: str
    lacks: tuple[Lack, ...] = ()


class TypeTold(Value):
    """One meter type, as `--json` tells it."""

    name: str
    title: str
    ability: ProfileAbility
    serial: SerialLine | None
    identity: Known | None
    state: Known | None
    instructions: Mapping[str, Known]
    measures: Mapping[str, Known]


class Mistake(Value):
    """One mistake of a file, as `--json` tells it."""

    place: str
    problem: str
    mend: str


class Checked(Value):
    """One file, as `--json` tells it. `type` is None where it has mistakes."""

    file: str
    mistakes: tuple[Mistake, ...]
    type: TypeTold | None


@click.group()
def profile() -> None:
    """Tell what is known of the meter types.

    \b
    Examples:
      feeder-gateway profile list
      feeder-gateway profile check profiles/our-meter.toml
      feeder-gateway profile show sdm230-relay8
    """


@profile.command("list")
@DIRECTORY
@JSON
def list_(directory: Path | None, as_json: bool) -> None:
    """List all meter types.

    Each stands on one line: what it can do, with how well that is known in brackets. What is known,
    but not well enough to be done, says what it lacks.

    \b
    Examples:
      feeder-gateway profile list
      feeder-gateway profile list --profiles-directory profiles --json
    """
    profiles = _profiles(directory)
    if as_json:
        click.echo(msgspec.json.encode([_told(name, one) for name, one in profiles.items()]))
        return
    width = max(map(len, profiles))
    for name, one in profiles.items():
        click.echo(f"{name:{width}}  {one.title}: {'; '.join(_abilities(one))}")


@profile.command()
@JSON
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
def check(as_json: bool, files: tuple[Path, ...]) -> None:
    """Say every mistake in profile files.

    Each file is read as it would be in the directory where it lies. Every mistake stands on a line
    of its own, with its place and the mend; then the exit status is 1. Of a file without mistakes
    it is said what the type can do, and what is missing for more.

    \b
    Examples:
      feeder-gateway profile check profiles/acrel-ddsy1352.toml
      feeder-gateway profile check profiles/*.toml --json
    """
    found = {file: mistakes_in(file) for file in files}
    if as_json:
        click.echo(msgspec.json.encode([_checked(*one) for one in found.items()]))
    else:
        for file, mistakes in found.items():
            lines = map(str, mistakes) if mistakes else _without_mistakes(file)
            for line in lines:
                click.echo(line)
    if any(found.values()):
        sys.exit(1)


@profile.command()
@DIRECTORY
@JSON
@click.argument("name")
def show(directory: Path | None, as_json: bool, name: str) -> None:
    """Print one meter type with its sources.

    What its file and those that it extends say together is printed as one file in TOML.

    \b
    Examples:
      feeder-gateway profile show accuenergy-ev300-contact
      feeder-gateway profile show our-meter --profiles-directory profiles
    """
    profiles = _profiles(directory)
    if name not in profiles:
        raise click.BadParameter(f"{name!r}: give one of {', '.join(profiles)}", param_hint="NAME")
    click.echo(msgspec.json.encode(profiles[name]) if as_json else toml_of(profiles[name]).rstrip())


COMMANDS = (profile,)


def _profiles(directory: Path | None) -> dict[str, Profile]:
    try:
        return load_profiles(directory)
    except ProfileError as error:
        raise click.ClickException(str(error)) from error


def _told(name: str, one: Profile) -> TypeTold:
    return TypeTold(
        name=name,
        title=one.title,
        ability=one.ability,
        serial=one.serial,
        identity=_known(one.identity),
        state=_known(one.state),
        instructions={
            block: Known(evidence=known.evidence, source=known.source, lacks=one.lacks(block))
            for block, known in one.instructions.items()
        },
        measures={
            str(quantity): Known(evidence=measure.evidence, source=measure.source)
            for quantity, measure in one.measures.items()
        },
    )


def _known(block: Block | None) -> Known | None:
    return None if block is None else Known(evidence=block.evidence, source=block.source)


def _checked(file: Path, mistakes: tuple[ProfileError, ...]) -> Checked:
    return Checked(
        file=str(file),
        mistakes=tuple(
            Mistake(place=one.place, problem=one.problem, mend=one.mend) for one in mistakes
        ),
        type=None if mistakes else _told(file.stem, load_profile(file)),
    )


def _without_mistakes(file: Path) -> Iterator[str]:
    one = load_profile(file)
    yield f"{file}: no mistakes found. {one.title}: {'; '.join(_abilities(one))}"
    bundled = files_in(BUNDLED).get(file.stem)
    if bundled is not None and not bundled.samefile(file):
        yield f"{file}: it takes the place of the bundled {file.stem}"
    yield from (f"{file}: {need}" for need in _needs(one))


def _needs(one: Profile) -> Iterator[str]:
    """What has to be so before a meter of this type is switched."""
    if "close" not in one.instructions:
        yield "close: there is none. Give it with its writes, or let this type only measure."
        return
    for lack, names in _sorted(
        (lack, name) for name in one.instructions for lack in one.lacks(name)
    ):
        yield f"{', '.join(names)}: not written, {LACKING[lack]}. {MENDS[lack]}."
    if not one.ability.proves_serial:
        yield "identity: there is no serial number to read. Each roster entry needs second_proof."
    if one.ability.needs_switch_unit:
        yield "switch-channel: each roster entry needs switch_unit and switch_channel."
    if one.state is not None and not one.state.independent:
        yield "state.independent: only voltage behind the switch or current verifies a close."


def _abilities(one: Profile) -> Iterator[str]:
    known = one.instructions
    for lacks, names in _sorted((one.lacks(name), name) for name in known):
        doing = f"not written, {', '.join(LACKING[lack] for lack in lacks)}: " if lacks else ""
        yield doing + _by_evidence({name: known[name] for name in names})
    yield "no serial number" if one.identity is None else f"serial number ({one.identity.evidence})"
    if one.measures:
        yield f"measures {_by_evidence(one.measures)}"
    if one.serial is not None:
        shipped = (one.serial.baud, one.serial.format)
        words = " ".join(str(part) for part in shipped if part is not None)
        yield f"shipped at {words} ({one.serial.evidence})"


def _by_evidence(blocks: Mapping[Quantity, Measure] | Mapping[str, Instruction]) -> str:
    named = _sorted((block.evidence, name) for name, block in blocks.items())
    return ", ".join(f"{', '.join(names)} ({evidence})" for evidence, names in named)


def _sorted(items: Iterable[tuple[Sorted, str]]) -> Iterable[tuple[Sorted, list[str]]]:
    """Names by what they have in common, both in the order of their first coming."""
    found: dict[Sorted, list[str]] = {}
    for common, name in items:
        found.setdefault(common, []).append(name)
    return found.items()
