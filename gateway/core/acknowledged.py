"""Acknowledgements: what the head end says that it holds safely.

Owns which of them is news, and why one is refused. Must never move anything back: what was once
acknowledged stays so.
"""

from gateway.core.admission import admit_refusal
from gateway.core.admitted import Admission
from gateway.core.fact import AckClaim, BadMessage, Road
from gateway.core.image import Image
from gateway.core.model import Now, Value


class Acked(Value):
    """What is news of an acknowledgement; None: nothing."""

    through: int | None = None
    """By the number of a record."""
    readings: int | None = None
    """By the ordinal of a reading."""


NO_NEWS = Acked()


def news_of(claim: AckClaim, image: Image, first: int) -> Acked:
    """What a claim says beyond what is known; `first` is this process' first record.

    Readings count from that record on only: an older claim may be about a journal that was replaced
    since, whose ordinals begin anew.
    """
    through = claim.through if claim.through > image.acked_through else None
    readings = claim.readings if claim.through >= first else None
    if readings is not None and readings <= image.readings_acked_through:
        readings = None
    return Acked(through=through, readings=readings)


def flaw_of(claim: AckClaim, news: Acked, image: Image, chain: bytes | None) -> str:
    """Why it is refused; empty: it is not. `chain`: hash of its record, None: there is none."""
    if claim.through > image.written:
        return "ACK_BEYOND_RECORDS"
    if chain is None or chain.hex() != claim.chain:
        return "ACK_CHAIN_MISMATCH"
    if news.readings is not None and news.readings > image.readings_last:
        return "ACK_BEYOND_READINGS"
    return ""


def refused_ack(flaw: str, claim: AckClaim, image: Image, now: Now) -> Admission:
    """The refusal of an acknowledgement."""
    readings = "" if claim.readings is None else f" and reading {image.readings_last}"
    message = BadMessage(
        name=flaw,
        detail=f"through {claim.through}, the last record is {image.written}{readings}",
        raw=f"{claim.through} {claim.chain}".encode(),
        road=Road.MQTT,
    )
    return admit_refusal(message, image, now)
