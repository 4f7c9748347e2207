"""Forgetting: what is kept no longer because two people of the utility have said so.

Owns what a forgotten meter and a wiped gateway leave behind, and why a meter cannot be forgotten.
Must never forget what still counts for somebody on the roster, what a person at the feeder has
forbidden, what was done to a switch and is not ended, nor let a sequence number fall: then nothing
that is forgotten here can switch anything, or be brought back by an old document.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar

import msgspec

from gateway.core.fact import Origin, TagKind
from gateway.core.image import Image, with_kept, with_roster
from gateway.core.kept import CloseMark
from gateway.core.marks import Mark, Marks, Tag
from gateway.core.model import Digest, Serial
from gateway.core.soundness import Unsound

_V = TypeVar("_V")


def check_forgettable(serial: str, image: Image) -> None:
    """Whether nobody needs what is kept of a meter. Raises `Unsound`."""
    if serial in _in_place(image):
        raise Unsound("METER_ON_ROSTER", f"meter {serial} is on the roster; send a site without it")
    if serial in image.kept.closings or serial in image.kept.tasks:
        raise Unsound("TASK_UNDER_WAY", f"what meter {serial} was told has not ended; order again")
    for account in _who_needs(serial, image):
        raise Unsound(
            "METER_NEEDED",
            f"the newest word about account {account} names meter {serial}; send a list that names "
            "its present one first",
        )


def forgotten(image: Image, meters: Collection[str]) -> Image:
    """The image without what is kept of meters; those that somebody needs stay as they are."""
    gone = {
        serial
        for serial in meters
        if serial not in _in_place(image) and not any(_who_needs(serial, image))
    }
    kept = image.kept
    left = {
        account
        for account, word in kept.words.items()
        if account not in image.by_account and word.meter in gone
    }
    after = with_kept(
        image,
        words=_without(kept.words, left),
        proofs=_without(kept.proofs, left),
        asks=_without(kept.asks, left),
        former=_former_without(kept.former, gone),
        tags=tuple(tag for tag in kept.tags if not (_by_order(tag) and _holds(tag, gone))),
        supply=_without(kept.supply, gone),
        causes=_without(kept.causes, gone),
        setbacks=_without(kept.setbacks, gone),
        ended=_without(kept.ended, gone),
        marks=tuple(_nameless(mark) if mark.serial in gone else mark for mark in kept.marks),
        forced=tuple(serial for serial in kept.forced if serial not in gone),
    )
    return msgspec.structs.replace(after, seen=_without(image.seen, gone))


def wiped(image: Image, order: Digest) -> Image:
    """The image of a gateway that is out of service: no roster, so nothing to close or to open.

    What was decided and is not ended stays until its outcome is known. What a person at the feeder
    has forbidden stays forbidden, and how lately which transformer was loaded stays known: both
    count for whoever is served from here next.
    """
    kept = image.kept
    newest = kept.newest
    after = with_kept(
        image,
        newest=Marks(
            root=newest.root, site=_spent(newest.site), list=_spent(newest.list), order=newest.order
        ),
        site=None,
        site_digest=None,
        list_in_force=None,
        list_received=None,
        words={},
        former={},
        proofs={},
        asks={},
        tags=tuple(tag for tag in kept.tags if not _by_order(tag)),
        supply={},
        causes={},
        graces=(),
        setbacks={},
        ended={},
        wiped=order,
    )
    return with_roster(msgspec.structs.replace(after, seen={}))


def _spent(mark: Mark) -> Mark:
    """The mark of a document that does not come back, not even as the very one it was."""
    return Mark(seq=mark.seq)


def _in_place(image: Image) -> set[str]:
    return {*image.roster, *(one.serial for one in image.check_meters.values())}


def _who_needs(serial: str, image: Image) -> Iterator[str]:
    """The accounts of the roster whose newest word names a meter that they had before."""
    for account, meters in image.kept.former.items():
        word = image.word(account)
        if serial in meters and word is not None and word.meter == serial:
            yield account


def _former_without(
    former: Mapping[str, tuple[str, ...]], gone: Collection[str]
) -> dict[str, tuple[str, ...]]:
    left = {
        account: tuple(serial for serial in meters if serial not in gone)
        for account, meters in former.items()
    }
    return {account: meters for account, meters in left.items() if meters}


def _by_order(tag: Tag) -> bool:
    return tag.origin is Origin.ORDER


def _holds(tag: Tag, meters: Collection[str]) -> bool:
    return tag.kind is TagKind.HOLD and tag.target in meters


def _nameless(mark: CloseMark) -> CloseMark:
    """That a transformer was loaded still counts; by which meter, nobody needs to know."""
    return msgspec.structs.replace(mark, serial=Serial(""))


def _without(mapping: Mapping[str, _V], gone: Collection[str]) -> dict[str, _V]:
    return {name: value for name, value in mapping.items() if name not in gone}
