"""Files of the utility: read with a limit, written whole or not at all.

Owns the one way in which these commands touch the disk, and the one kind of error that they show.
Must never leave a half-written file under the name that was asked for.
"""

import os
from pathlib import Path

from gateway.journal.files import sync_directory

PRIVATE = 0o600
PUBLIC = 0o644
INPUT_BYTES_MAX = 16 * 1024 * 1024
KEY_FILE_BYTES_MAX = 4 * 1024
PRIVATE_HALVES = (b'"private"', b'"pkcs11"')
"""Members of a key file of which one is lost with it; no document begins as a JSON object."""


class Mistake(Exception):  # noqa: N818 - what the person at the keyboard can mend
    """One line: the place, what is wrong there, and the mend."""

    def __init__(self, place: object, wrong: str, mend: str) -> None:
        super().__init__(f"{place}: {wrong}; {mend}")


def mistake_in(place: object, said: str, mend: str) -> Mistake:
    """A mistake in words that may bring their own mend after a semicolon; otherwise `mend` is."""
    wrong, _, own = said.partition("; ")
    return Mistake(place, wrong, own or mend)


def read_whole(path: Path) -> bytes:
    """The content of a file. Raises `Mistake`."""
    try:
        with path.open("rb") as file:
            content = file.read(INPUT_BYTES_MAX + 1)
    except OSError as error:
        raise Mistake(path, f"cannot read it ({error.strerror})", "check the path") from error
    if len(content) > INPUT_BYTES_MAX:
        raise Mistake(path, f"more than {INPUT_BYTES_MAX} bytes", "give the file that is meant")
    return content


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Put a file in its place in one step, durably, replacing what was there. Raises `Mistake`.

    Only a private key is never replaced.
    """
    if _holds_a_key(path):
        mend = "keys are never written over: name another file"
        raise Mistake(path, "there is a private key in it", mend)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            _write_new(part, content, mode)
            part.replace(path)
            sync_directory(path.parent)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise Mistake(
            path, f"cannot write it ({error.strerror})", "check directory, room and rights"
        ) from error


def _holds_a_key(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            begin = file.read(KEY_FILE_BYTES_MAX)
    except OSError:
        return False
    return begin.startswith(b"{") and any(half in begin for half in PRIVATE_HALVES)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(number, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(number)
