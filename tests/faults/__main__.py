"""Errors of the disk at every call that a daemon makes: python -m tests.faults --all

Prints how far it is, and at the end what was found. Exit status: 0 nothing wrong was found; 1
otherwise.
"""

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.faults.campaign import ERRORS, all_of, campaign, counts, processes, spread
from tests.faults.scene import Injection, Tally
from tests.faults.shim import ShimError
from tests.faults.stories import Story


def main() -> int:
    """Run the campaign and tell of it."""
    given = _arguments()
    tally = Tally()
    try:
        with processes(given.jobs) as pool:
            injections = given.only or _chosen(given, pool)
            for tally in campaign(injections, pool, given.keep):
                said = f"{tally.injections} of {len(injections)}, {len(tally.faults)} faults"
                print(said, file=sys.stderr, flush=True)
    except ShimError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was found so far:", file=sys.stderr)
    if given.json:
        told = {"endings": dict(tally.endings), "faults": tally.faults}
        print(json.dumps({"injections": tally.injections, **told}, indent=1))
    else:
        _tell(tally)
    return 1 if tally.faults or not tally.injections else 0


def _chosen(given: argparse.Namespace, pool: ProcessPoolExecutor) -> list[Injection]:
    calls = counts(given.stories, pool)
    injections = all_of(calls, given.errno)
    for story, count in calls.items():
        print(f"{story}: {count} calls", file=sys.stderr)
    return injections if given.all else spread(injections, given.count, given.seed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        epilog="examples: python -m tests.faults --errno EIO,ENOSPC,EROFS --all; "
        "python -m tests.faults --only LIST:7:EIO:lasting",
    )
    parser.add_argument("--all", action="store_true", help="every call, by every error")
    parser.add_argument("--count", type=int, default=42, help="otherwise so many (default: 42)")
    parser.add_argument("--seed", type=int, default=1, help="of which chance (default: 1)")
    parser.add_argument(
        "--errno", type=_errors, default=[*ERRORS], help="by which errors (default: all three)"
    )
    parser.add_argument(
        "--stories", type=_stories, default=[*Story], help="in which stories (default: all)"
    )
    parser.add_argument("--only", type=_injection, action="append", help="this one alone")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="at once")
    parser.add_argument("--keep", type=Path, help="a directory for the towns that had a fault")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    if given.count < 1 or given.jobs < 1:
        parser.error("give at least 1 injection and 1 job")
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
    return given


def _errors(said: str) -> list[str]:
    names = said.split(",")
    if unknown := [name for name in names if name not in ERRORS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]}: give some of {', '.join(ERRORS)}")
    return names


def _stories(said: str) -> list[Story]:
    try:
        return [Story(name) for name in said.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}: some of {', '.join(Story)}") from None


def _injection(said: str) -> Injection:
    try:
        story, call, error, how = said.split(":")
        lasting, torn = how.startswith("lasting"), how.endswith("torn")
        return Injection(Story(story), int(call), ERRORS[error], lasting=lasting, torn=torn)
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(f"{said}: say it as LIST:7:EIO:lasting") from None


def _tell(tally: Tally) -> None:
    for word, count in sorted(tally.endings.items()):
        print(f"{count:8} {word}")
    for fault, said in tally.faults:
        print(f"{fault}: {said}")
    print(f"{tally.injections} injections, {len(tally.faults)} faults")


if __name__ == "__main__":
    sys.exit(main())
