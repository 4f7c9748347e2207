"""Mutants of signed documents: python -m tests.mutants --count 1000000 --seed 7

Prints how far it is, and at the end every refusal by name. Exit status: 0 none was taken and
nothing broke, 1 otherwise.
"""

import argparse
import os
import sys

from tests.mutants.campaign import Found, campaign

TOLD_EVERY = 20


def main() -> int:
    """Run the campaign and tell of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="how many (default: 100000)")
    parser.add_argument("--seed", type=int, default=1, help="of which chance (default: 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    given = parser.parse_args()
    found = Found()
    for at, found in enumerate(campaign(given.count, given.seed, given.jobs), start=1):
        if at % TOLD_EVERY == 0:
            print(f"{found.count} of {given.count}", file=sys.stderr)
    print(f"seed {given.seed}: {found.count} mutants, {len(found.accepted)} accepted, ", end="")
    print(
        f"{len(found.crashes)} crashes, {found.same} other envelopes of a signed document, ", end=""
    )
    print(f"{found.followed} of a root that was followed before")
    for word, count in found.words.most_common():
        print(f"{count:8} {word}")
    for failure in (*found.accepted, *found.crashes):
        print(failure, file=sys.stderr)
    return 1 if found.accepted or found.crashes else 0


if __name__ == "__main__":
    sys.exit(main())
