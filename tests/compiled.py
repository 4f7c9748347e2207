"""Libraries of the tests that are written in C: built from their source when they are needed.

Owns how the compiler is called. Must never keep what it built.
"""

import subprocess
from pathlib import Path

COMPILER = "cc"
OPTIONS = ("-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")


def library_of(source: Path, directory: Path, failure: type[Exception]) -> Path:
    """The shared library of one source, in that directory. Raises `failure`."""
    library = directory / f"{source.stem}.so"
    try:
        subprocess.run(
            (COMPILER, *OPTIONS, "-o", library, source, "-ldl", "-lpthread"),
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        mend = "apt-get install gcc libc6-dev"
        raise failure(f"there is no C compiler {COMPILER!r}: {mend}") from None
    except subprocess.CalledProcessError as failed:
        raise failure(f"{source.name} does not compile: {failed.stderr}") from None
    return library
