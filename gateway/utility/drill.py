"""A rehearsed outage: the word by which one command asks every collector to be away.

Owns that word, its topics and how long it is believed. Must never let a rehearsal outlive whoever
holds it: the word is said again and again, and what is not said any more, or cannot be read, is no
drill.

`{root}/v1/{utility}/drill` is about the whole fleet, `{root}/v1/{utility}/{gateway}/drill` about
one gateway; no gateway needs a right to either. The words are retained, and an empty one ends it.
"""

import re

import msgspec

from gateway.core.model import GatewayId, Value
from gateway.headend.messages import ID, NOTE_MAX, VERSION

AGAIN_S = 15.0
"""Between two words of whoever holds a drill."""
BELIEVED_S = 60.0
"""After its last word a drill that is held is over: three in a row may be lost."""


class Drill(Value):
    """That nobody is at the head end. `held`: only for as long as it is said again."""

    held: bool
    holder: str
    """Who began it: a random word, to tell two of them apart."""


def drill_topic(root: str, utility: str, gateway: str | None) -> str:
    """Where it is said; `gateway` None: of the whole fleet."""
    of_gateway = "" if gateway is None else f"{gateway}/"
    return f"{root}/{VERSION}/{utility}/{of_gateway}drill"


def drill_filters(root: str, utility: str) -> tuple[str, str]:
    """The subscriptions for every drill of a utility."""
    return drill_topic(root, utility, None), drill_topic(root, utility, "+")


def parse_drill(topic: str, root: str, utility: str) -> tuple[GatewayId | None] | None:
    """Whom a topic is about, in a tuple as that may be everybody; None: it is another topic."""
    found = re.fullmatch(
        rf"{re.escape(f'{root}/{VERSION}/{utility}')}(/(?P<gateway>{ID}))?/drill", topic
    )
    if found is None:
        return None
    return (None if found["gateway"] is None else GatewayId(found["gateway"]),)


def pack_drill(drill: Drill | None) -> bytes:
    """The word; None: it is over."""
    return b"" if drill is None else msgspec.json.encode(drill)


def read_drill(payload: bytes) -> Drill | None:
    """The word; None where it is over or cannot be read."""
    if len(payload) > NOTE_MAX:
        return None
    try:
        return msgspec.json.decode(payload, type=Drill)
    except msgspec.DecodeError:
        return None


class Drills:
    """The drills that are on, as a collector believes them. Seconds are the event loop's."""

    def __init__(self) -> None:
        self._over_s: dict[GatewayId | None, float | None] = {}

    def hear(self, gateway: GatewayId | None, drill: Drill | None, at_s: float) -> bool:
        """Take a word in. Returns whether it changes anything."""
        was = gateway in self._over_s
        if drill is None:
            self._over_s.pop(gateway, None)
            return was
        self._over_s[gateway] = at_s + BELIEVED_S if drill.held else None
        return not was

    def expire(self, at_s: float) -> tuple[GatewayId | None, ...]:
        """End those that nobody holds any more, and say which."""
        over = tuple(
            gateway
            for gateway, end_s in self._over_s.items()
            if end_s is not None and end_s <= at_s
        )
        for gateway in over:
            del self._over_s[gateway]
        return over

    def away(self, gateway: GatewayId) -> bool:
        """Whether nobody is to be there for a gateway."""
        return None in self._over_s or gateway in self._over_s
