"""QR codes of whole documents, in as many parts as it takes (ISO/IEC 18004).

Owns how large a code may be that a telephone reads from paper or from a screen. Must never draw a
code that the gateway's own reading of parts would not join again.
"""

from pathlib import Path

import segno

from gateway.core.model import Value
from gateway.core.parts import Unjoinable, join, on_one_line, split
from gateway.core.signature import Rejected
from gateway.utility.files import PRIVATE, Mistake, mistake_in, write_whole
from gateway.utility.receipt import qr_svg
from gateway.utility.show import documents_in

VERSION_MAX = 25
"""117 by 117 modules."""
CHARACTERS_MAX = 997
"""What such a code holds as bytes at error correction M (ISO/IEC 18004, table 7)."""


class Codes(Value):
    """A set of codes: its pictures, and what each says."""

    pictures: tuple[str, ...]
    text: str
    """The file with what they say, a line each."""


def texts_of(path: Path) -> tuple[str, ...]:
    """What the codes of a file say: its one document, or parts of all. Raises `Mistake`."""
    documents = []
    for place, raw in documents_in(path):
        try:
            documents.append(on_one_line(raw.decode("ascii")))
        except (Rejected, UnicodeDecodeError) as error:
            raise Mistake(place, f"not a signed document ({error})", "give one") from error
    if len(documents) == 1 and len(documents[0]) <= CHARACTERS_MAX:
        return (documents[0],)
    try:
        parts = split(documents, CHARACTERS_MAX)
    except Unjoinable as unjoinable:
        wrong = f"{unjoinable.name}: {unjoinable.detail}"
        raise mistake_in(path, wrong, "carry the file itself") from unjoinable
    assert join(parts) == tuple(documents), "what is split is whole again"
    return parts


def write_codes(path: Path, directory: Path) -> Codes:
    """Write the pictures and the text of a file's codes into a new directory. Raises `Mistake`."""
    texts = texts_of(path)
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        there = any(directory.iterdir())
    except OSError as error:
        wrong = f"cannot make it ({error.strerror})"
        raise Mistake(directory, wrong, "name a new directory in one that exists") from error
    if there:
        # A code of an earlier set among these would be a foreign part.
        raise Mistake(directory, "there is something in it", "name a new directory")
    digits = len(str(len(texts)))
    pictures = []
    for at, text in enumerate(texts, start=1):
        picture = directory / f"{path.stem}-{at:0{digits}}-of-{len(texts)}.svg"
        write_whole(picture, qr_svg(_code(text)), PRIVATE)
        pictures.append(str(picture))
    said = directory / f"{path.stem}.txt"
    write_whole(said, "".join(f"{text}\n" for text in texts).encode(), PRIVATE)
    return Codes(pictures=tuple(pictures), text=str(said))


def _code(text: str) -> segno.QRCode:
    code = segno.make_qr(text, error="m", mode="byte")
    assert int(code.version) <= VERSION_MAX, "the parts are cut for it"
    return code
