"""Power cuts at random instants of what the journal does: python -m tests.powercut --cuts 1000000

Prints how far it is, and at the end how every restart has ended. Exit status: 0 nothing that was
acknowledged was lost, nothing wrong stood, and every control has lost something; 1 otherwise.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.powercut.campaign import (
    CONTROLS,
    HANDFUL,
    LYING_HANDFUL,
    Setting,
    Tally,
    campaign,
    control,
    honest_cuts,
    lying_cuts,
    prepared,
)
from tests.powercut.recorded import RecorderError


def main() -> int:
    """Run the campaign and tell of it."""
    given = _arguments()
    try:
        with prepared(given.seed, given.jobs, given.keep) as (setting, pool):
            parts = {
                "honest": _part("honest", honest_cuts, HANDFUL, given.cuts, setting, pool),
                "lying": _part("lying", lying_cuts, LYING_HANDFUL, given.lying, setting, pool),
            }
            controls = {name: pool.submit(control, setting, name) for name in CONTROLS}
            lost = {name: one.result() for name, one in controls.items()}
    except RecorderError as error:
        print(error, file=sys.stderr)
        return 1
    toothless = [name for name, tally in lost.items() if not tally.faults[CONTROLS[name]]]
    if given.json:
        told = {name: _plain(tally, took_s) for name, (tally, took_s) in parts.items()}
        told["controls"] = {name: _plain(tally) for name, tally in lost.items()}
        print(json.dumps({"seed": given.seed, **told}, indent=1))
    else:
        _tell(parts, lost)
    for name in toothless:
        print(f"no teeth: {name} has lost nothing ({CONTROLS[name]})", file=sys.stderr)
    return 1 if toothless or any(tally.faults for tally, _ in parts.values()) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.powercut",
        description=__doc__,
        epilog="example: python -m tests.powercut --cuts 100000 --seed 7 --keep /tmp/faults",
    )
    parser.add_argument("--cuts", type=int, default=20_000, help="how many (default: 20000)")
    parser.add_argument(
        "--lying",
        type=int,
        default=5_000,
        help="how many more on a card that lies on 10 %% of its syncs (default: 5000)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of which chance (default: 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--keep", type=Path, help="a directory for the disks that had a fault")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    if given.cuts < 0 or given.lying < 0 or given.jobs < 1:
        parser.error("give counts of 0 or more, and at least 1 process")
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
    return given


def _part(
    name: str,
    cuts: Callable[[Setting, int, int], Tally],
    handful: int,
    count: int,
    setting: Setting,
    pool: ProcessPoolExecutor,
) -> tuple[Tally, float]:
    begin = time.perf_counter()
    found = Tally()
    for found in campaign(cuts, handful, count, setting, pool):
        took_s = time.perf_counter() - begin
        faults = sum(found.faults.values())
        said = f"{name}: {found.cuts} of {count}, {found.cuts / took_s:.0f}/s, {faults} faults"
        print(said, file=sys.stderr, flush=True)
    return found, time.perf_counter() - begin


def _tell(parts: dict[str, tuple[Tally, float]], controls: dict[str, Tally]) -> None:
    for name, (tally, took_s) in parts.items():
        print(f"{name} card: {tally.cuts} cuts, {tally.cuts / max(took_s, 1e-9):.0f}/s")
        for counts in (tally.endings, tally.faults):
            for word, count in counts.most_common():
                print(f"{count:8} {word}")
        for example in tally.examples:
            print(example)
    print("what is lost where something is left out:")
    for name, tally in controls.items():
        print(f"{tally.faults[CONTROLS[name]]:8} of {tally.cuts} {CONTROLS[name]}: {name}")


def _plain(tally: Tally, took_s: float | None = None) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "cuts": tally.cuts,
        "endings": dict(tally.endings),
        "faults": dict(tally.faults),
        "examples": tally.examples,
    }
    return plain if took_s is None else {**plain, "took_s": round(took_s, 1)}


if __name__ == "__main__":
    sys.exit(main())
