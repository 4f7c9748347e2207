"""The shape of a vector: one document, where it comes in, and the word that it gets."""

from collections.abc import Mapping

from gateway.core.model import GatewayId, Now, ProfileAbility, Station, Value
from gateway.core.sequence import nonce_of
from gateway.core.signature import DocumentType
from tests.core.papers import HOUR_MS, NOON_MS

DAY_MS = 24 * HOUR_MS
STATION = Station(
    gateway=GatewayId("gw-1"),
    buses=("bus-1",),
    profiles={
        "proves-serial": ProfileAbility(
            switches=True, proves_serial=True, opens=True, releases=True
        ),
        "no-serial": ProfileAbility(switches=True, proves_serial=False, opens=True),
        "closes-only": ProfileAbility(switches=True, proves_serial=True),
        "relay": ProfileAbility(
            switches=True, proves_serial=False, opens=True, needs_switch_unit=True, channels=8
        ),
        "measures": ProfileAbility(switches=False, proves_serial=True),
    },
)
NOON = Now(
    mono_ms=5 * HOUR_MS,
    boot="boot-1",
    wall_ms=NOON_MS,
    wall_low_ms=NOON_MS - 1_000,
    wall_high_ms=NOON_MS + 1_000,
)
_NIGHT_MS = NOON_MS + 9 * HOUR_MS
CLOCKS: Mapping[str, Now] = {
    "noon": NOON,
    "noon, no trusted source": Now(
        mono_ms=5 * HOUR_MS, boot="boot-1", wall_ms=NOON_MS, wall_low_ms=NOON_MS - 1_000
    ),
    "night": Now(
        mono_ms=14 * HOUR_MS,
        boot="boot-1",
        wall_ms=_NIGHT_MS,
        wall_low_ms=_NIGHT_MS - 1_000,
        wall_high_ms=_NIGHT_MS + 1_000,
    ),
    "1970 on the calendar": Now(
        mono_ms=HOUR_MS, boot="boot-1", wall_ms=0, wall_low_ms=NOON_MS - 30 * DAY_MS
    ),
    "2038 on the calendar, not trusted": Now(
        mono_ms=HOUR_MS, boot="boot-1", wall_ms=2_147_483_648_000, wall_low_ms=NOON_MS
    ),
    "ten years on, trusted": Now(
        mono_ms=HOUR_MS,
        boot="boot-1",
        wall_ms=NOON_MS + 3_650 * DAY_MS,
        wall_low_ms=NOON_MS + 3_650 * DAY_MS,
        wall_high_ms=NOON_MS + 3_650 * DAY_MS,
    ),
}
"""13:30 of a Monday in India is `noon`."""
NONCE = nonce_of(NOON)


class Scene(Value):
    """What is so when the document comes. All but the clock is as at noon."""

    given: tuple[str, ...] = ()
    """Vectors that were handed in before, in this order, at noon; each was ACCEPTED."""
    clock: str = "noon"
    anchor: str = "anchor.json"
    door: str = "gateway"
    """`gateway`: the daemon's; `badge`: the page's; `record`: the head end's."""
    road: str = "MQTT"
    retained: bool = False
    """The broker had kept it."""
    link: str = ""
    """By MQTT: the id of the order whose settings the link was made with; empty: none's."""
    meters_read: bool = True
    """Every meter of the roster was read just now, and was CONNECTED."""
    head_end_heard: bool = True
    forced: tuple[str, ...] = ()
    """Meters that commands of this gateway hold in a forced position."""
    held: tuple[str, ...] = ()
    """Meters on which a technician has placed a hold."""
    memory_lost: bool = False
    """The marks know a newer list than the one in force."""


class Vector(Value):
    """One document and what becomes of it."""

    name: str
    type: str
    raw: bytes
    word: str
    why: str
    scene: Scene = Scene()

    @property
    def file(self) -> str:
        """Where its bytes are, beside vectors.json."""
        return f"documents/{self.name}.{'json' if self.raw[:1] == b'[' else 'jws'}"


class Line(Value):
    """A vector as vectors.json lists it."""

    name: str
    file: str
    type: str
    word: str
    why: str
    scene: Scene


class Book(Value):
    """vectors.json: the station, the clocks and every vector."""

    about: str
    station: Station
    clocks: Mapping[str, Now]
    vectors: tuple[Line, ...]


WITH_SITE = Scene(given=("site",))
TYPES = frozenset(str(kind) for kind in DocumentType)
