"""Coverage-guided fuzzing of the verifier: python -m tests.fuzz --seconds 600

Takes atheris (`pip install -e .[fuzz]`). Starts from tests/fuzz/corpus, puts what is new into
out/fuzz, and ends at the first input for which something does not hold, with exit status above 0;
the input is then in out/fuzz/failures. With --keep, what reaches new code is put into the corpus
itself: add it to the repository.
"""

import argparse
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
FRESH = CHECKOUT / "out" / "fuzz"
LENGTH_MAX = 8_192


def main() -> int:
    """Fuzz for so long; libFuzzer ends the process itself."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of which chance (default: 1)")
    parser.add_argument("--keep", action="store_true", help="keep in the corpus what is new")
    given = parser.parse_args()
    try:
        import atheris  # noqa: PLC0415 - an extra that few have
    except ImportError:
        print("atheris is not here: pip install -e .[fuzz]", file=sys.stderr)
        return 1
    with atheris.instrument_imports(include=["gateway.core"]):
        from tests.fuzz.target import one_input, seeds  # noqa: PLC0415 - imported to be watched
    inputs, failures = FRESH / "inputs", FRESH / "failures"
    for folder in (inputs, failures):
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in seeds().items():
        (inputs / name).write_bytes(content)
    # libFuzzer puts what is new into the first folder, and only reads the others.
    folders = (CORPUS, inputs) if given.keep else (inputs, CORPUS)
    options = (f"-max_len={LENGTH_MAX}", f"-seed={given.seed}", f"-artifact_prefix={failures}/",
               f"-max_total_time={given.seconds}", "-timeout=10")  # fmt: skip
    atheris.Setup([sys.argv[0], *options, *map(str, folders)], one_input)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
