"""All vectors, the files that hold them, and how one of them is played through the real door."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import msgspec

from gateway.core.admission import admit_document
from gateway.core.changes import apply
from gateway.core.documents import decode_checkpoint
from gateway.core.fact import DocumentClaim, HeadEndSeen, MeterSeen, Origin, Road, TagClaim, TagKind
from gateway.core.image import Image, observe, with_kept
from gateway.core.marks import Mark
from gateway.core.model import Digest, Now, Reading, Serial, SupplyState
from gateway.core.reading import read_badge
from gateway.core.records import record_of
from gateway.core.requests import admit_tag
from gateway.core.rotation import load_root
from gateway.core.signature import DocumentType, Rejected, verify
from gateway.core.soundness import Unsound
from gateway.core.trust import Root
from gateway.core.waiting import instant_of
from gateway.utility.sign import payload_of
from tests.vectors import accounts, envelopes, errands, instructions, keys, pairs, sites, trust
from tests.vectors.scene import CLOCKS, NOON, STATION, Book, Line, Scene, Vector

FOLDER = Path(__file__).parent
BOOK_FILE = "vectors.json"
ABOUT = "See README.md beside this file. Times are milliseconds UTC since 1970."
ANCHORS: Mapping[str, Root] = {
    "anchor.json": keys.ANCHOR,
    "anchor-two-receipt-keys.json": keys.TWO_RECEIPT_KEYS,
}
ENROLLED_FILE = "enrolled.json"


@cache
def all_vectors() -> Mapping[str, Vector]:
    """Every vector by its name."""
    found: dict[str, Vector] = {}
    for module in (envelopes, accounts, sites, instructions, errands, trust, pairs):
        for vector in module.vectors():
            assert vector.name not in found, f"{vector.name} stands twice"
            found[vector.name] = vector
    return found


def files() -> dict[str, bytes]:
    """What the folder holds, by path; equal in every run."""
    vectors = all_vectors()
    lines = tuple(
        Line(name=v.name, file=v.file, type=v.type, word=v.word, why=v.why, scene=v.scene)
        for v in vectors.values()
    )
    book = Book(about=ABOUT, station=STATION, clocks=CLOCKS, vectors=lines)
    made = {vector.file: vector.raw for vector in vectors.values()}
    made |= {name: keys.anchor_file(root) for name, root in ANCHORS.items()}
    made[ENROLLED_FILE] = payload_of(keys.ENROLLED)
    made[BOOK_FILE] = msgspec.json.format(msgspec.json.encode(book), indent=1) + b"\n"
    return made


Door = Callable[[bytes], str]
"""Some bytes come; the answer's word, or the refusal's name."""


class _GatewayDoor:
    def __init__(self, image: Image, now: Now, scene: Scene) -> None:
        self._image, self._now, self._scene = image, now, scene

    def __call__(self, raw: bytes) -> str:
        scene = self._scene
        road = Road(scene.road)
        claim = DocumentClaim(raw=raw, road=road, retained=scene.retained, link=scene.link)
        return str(admit_document(claim, self._image, self._now).answer.word)


class _BadgeDoor:
    def __init__(self, root: Root) -> None:
        self._root = root

    def __call__(self, raw: bytes) -> str:
        try:
            read_badge(raw, self._root)
        except Rejected as flaw:
            return str(flaw.flaw)
        except Unsound as flaw:
            return flaw.name
        return "ACCEPTED"


class _RecordDoor:
    def __init__(self, root: Root) -> None:
        self._root = root

    def __call__(self, raw: bytes) -> str:
        try:
            decode_checkpoint(verify(raw, frozenset({DocumentType.RECORD}), self._root))
        except Rejected as flaw:
            return str(flaw.flaw)
        return "ACCEPTED"


class Library:
    """The vectors as they lie in a folder, and nothing else."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self.book = msgspec.json.decode((folder / BOOK_FILE).read_bytes(), type=Book)
        self._lines = {line.name: line for line in self.book.vectors}

    def read(self, file: str) -> bytes:
        """A file of the folder."""
        return (self._folder / file).read_bytes()

    def word_of(self, line: Line) -> str:
        """What becomes of a vector: the answer's word, or the refusal's name."""
        return self.door_of(line)(self.read(line.file))

    def line(self, name: str) -> Line:
        """The line of that name."""
        return self._lines[name]

    def door_of(self, line: Line) -> Door:
        """The door where a vector comes in, everything being as its scene says."""
        scene = line.scene
        if scene.door == "badge":
            return _BadgeDoor(load_root(self.read(scene.anchor)))
        if scene.door == "record":
            return _RecordDoor(msgspec.json.decode(self.read(scene.anchor), type=Root))
        now = self.book.clocks[scene.clock]
        return _GatewayDoor(self._image_of(scene, now), now, scene)

    def _image_of(self, scene: Scene, now: Now) -> Image:
        image = Image(station=self.book.station, root=load_root(self.read(scene.anchor)))
        for name in scene.given:
            given = self._lines[name]
            assert given.word == "ACCEPTED", f"{name} cannot be given"
            image = self._after(image, given)
        for serial in scene.held:
            claim = TagClaim(
                kind=TagKind.HOLD, target=serial, place=True, by="A technician", reason="at work",
                origin=Origin.TECHNICIAN,
            )  # fmt: skip
            for body in admit_tag(claim, image).bodies:
                image = apply(image, record_of(image.number + 1, body, now), None)
        return _seen(_remembered(image, scene), scene, now)

    def _after(self, image: Image, given: Line) -> Image:
        claim = DocumentClaim(raw=self.read(given.file), road=Road.MQTT, retained=False)
        admission = admit_document(claim, _seen(image, given.scene, NOON), NOON)
        assert admission.answer.word == "ACCEPTED", f"{given.name}: {admission.answer}"
        for body in admission.bodies:
            image = apply(image, record_of(image.number + 1, body, NOON), admission.document)
        return image


def _remembered(image: Image, scene: Scene) -> Image:
    image = with_kept(image, forced=scene.forced)
    if not scene.memory_lost:
        return image
    ahead = Mark(seq=image.kept.newest.list.seq + 1, digest=Digest("0" * 64))
    return with_kept(image, newest=msgspec.structs.replace(image.kept.newest, list=ahead))


def _seen(image: Image, scene: Scene, now: Now) -> Image:
    at = instant_of(now)
    if scene.head_end_heard:
        image = observe(image, HeadEndSeen(online=True, kept_by_broker=False), at)
    for serial in image.roster if scene.meters_read else ():
        reading = Reading(state=SupplyState.CONNECTED, mono_ms=now.mono_ms, serial=Serial(serial))
        image = observe(image, MeterSeen(serial=Serial(serial), reading=reading), at)
    return image
