"""SIGKILL of the whole daemon while a town lives on it: python -m tests.kills --points 500

Prints how far it is, and at the end at which moments the daemon was killed and what was found.
Exit status: 0 nothing wrong was found, and every control was; 1 otherwise.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.faults.shim import ShimError
from tests.kills.campaign import POINTS_A_TOWN, campaign, killed_town, processes
from tests.kills.judging import Verdict


def main() -> int:
    """Run the campaign and tell of it."""
    given = _arguments()
    verdict = Verdict()
    try:
        for verdict in _found(given):
            said = f"{verdict.kills} of {given.points} kills, {len(verdict.faults)} faults"
            print(said, file=sys.stderr, flush=True)
    except ShimError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was found so far:", file=sys.stderr)
    if given.json:
        print(json.dumps({"seed": given.seed, **_plain(verdict)}, indent=1))
    else:
        _tell(verdict, given.seed)
    return 1 if verdict.faults or verdict.toothless or not verdict.kills else 0


def _found(given: argparse.Namespace) -> Iterator[Verdict]:
    if given.town is not None:
        yield killed_town(given.seed, given.keep, given.town, POINTS_A_TOWN)
        return
    with processes(given.jobs) as pool:
        yield from campaign(given.seed, given.points, pool, given.keep)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kills",
        description=__doc__,
        epilog="examples: python -m tests.kills --points 500 --seed 7 --keep /tmp/faults; "
        "python -m tests.kills --seed 7 --town 12",
    )
    parser.add_argument("--points", type=int, default=40, help="kills (default: 40)")
    parser.add_argument("--seed", type=int, default=1, help="of which chance (default: 1)")
    parser.add_argument("--town", type=int, help="this town of the campaign alone, once more")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="towns at once")
    parser.add_argument("--keep", type=Path, help="a directory for the towns that had a fault")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    if given.points < 1 or given.jobs < 1 or (given.town or 0) < 0:
        parser.error("give at least 1 point and 1 job, and a town of 0 or more")
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
    return given


def _tell(verdict: Verdict, seed: int) -> None:
    print(f"{verdict.kills} kills of seed {seed}")
    for counts in (verdict.moments, verdict.looked_at):
        for word, count in counts.most_common():
            print(f"{count:8} {word}")
    print(f"{verdict.controls:8} of the controls were found")
    for name in verdict.toothless:
        print(f"no teeth: {name} was done to a trace, and the judge has not seen it")
    for fault, said in verdict.faults:
        print(f"{fault}: {said}")
    print(f"{len(verdict.faults)} faults")


def _plain(verdict: Verdict) -> dict[str, object]:
    return {
        "kills": verdict.kills,
        "moments": dict(verdict.moments),
        "looked_at": dict(verdict.looked_at),
        "controls": verdict.controls,
        "toothless": verdict.toothless,
        "faults": verdict.faults,
    }


if __name__ == "__main__":
    sys.exit(main())
