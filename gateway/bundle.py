"""The bundle: what support needs to know of a gateway it cannot reach otherwise.

Owns what goes into it, and that it is never more than one message takes. Must never contain a
secret, nor the number of an account: the lines of the log may name some, and they are taken out.
"""

import platform
import re
import zlib
from collections.abc import Set

import msgspec

from gateway import __version__
from gateway.config import Config
from gateway.core.image import Image
from gateway.core.model import Now, Value
from gateway.core.settings import Settings
from gateway.core.status import Status, status_of

BUNDLE_MAX = 64 * 1024
"""Bytes, as zlib (RFC 1950)."""
ACCOUNT = "(account)"
"""What stands in the log's lines instead of an account's number."""
_WORD = re.compile(r"[0-9A-Za-z]+(?:[/_.-]+[0-9A-Za-z]+)*")
_PIECE = re.compile(r"[0-9A-Za-z]+")


class BusLine(Value):
    """One bus as it is configured."""

    name: str
    port: str
    baud: int
    format: str
    rs485: bool


class Bundle(Value):
    """What support gets. `left_out`: lines of the log that had no room, the oldest."""

    gateway: str
    version: str
    python: str
    machine: str
    buses: tuple[BusLine, ...]
    settings: Settings
    status: Status
    log: tuple[str, ...]
    left_out: int = 0


def status_without_homes(image: Image, now: Now) -> Status:
    """Counts only: who is dark or has grace the records and the local socket say."""
    return msgspec.structs.replace(status_of(image, now), dark=(), graces=(), readings=())


def packed_bundle(config: Config, image: Image, now: Now, log: tuple[str, ...]) -> bytes:
    """The bundle as zlib of its JSON; of the log as many of the newest lines as there is room."""
    accounts = _accounts(image)
    bundle = Bundle(
        gateway=config.gateway,
        version=__version__,
        python=platform.python_version(),
        machine=platform.platform(),
        buses=tuple(
            BusLine(name=it.name, port=it.port, baud=it.baud, format=it.format, rs485=it.rs485)
            for it in config.bus
        ),
        settings=image.settings,
        status=status_without_homes(image, now),
        log=tuple(_without_accounts(line, accounts) for line in log),
    )
    while True:
        packed = zlib.compress(msgspec.json.encode(bundle))
        if len(packed) <= BUNDLE_MAX or not bundle.log:
            return packed
        half = len(bundle.log) // 2 + 1
        left_out = bundle.left_out + half
        bundle = msgspec.structs.replace(bundle, log=bundle.log[half:], left_out=left_out)


def _accounts(image: Image) -> Set[str]:
    kept = image.kept
    listed = () if kept.list_in_force is None else kept.list_in_force.entries
    return {*image.by_account, *kept.words, *kept.former, *listed}


def _without_accounts(line: str, accounts: Set[str]) -> str:
    def hidden(found: re.Match[str]) -> str:
        word = found[0]
        if word in accounts:
            return ACCOUNT
        return _PIECE.sub(lambda it: ACCOUNT if it[0] in accounts else it[0], word)

    return _WORD.sub(hidden, line)
