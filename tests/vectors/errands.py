"""Vectors of orders to the gateway itself: its settings, a look around, and what it forgets."""

from collections.abc import Iterator

import msgspec

from gateway.core.orders import Act, Config, Confirm, ForgetMeter, LogBundle, Order, Scan, Wipe
from gateway.core.settings import BrokerChange
from gateway.core.signature import DocumentType
from gateway.utility.sign import SigningKey, payload_of
from tests.core.papers import MINUTE_MS, NOON_MS, order
from tests.vectors import keys, sites
from tests.vectors.keys import signed, together
from tests.vectors.scene import WITH_SITE, Scene, Vector

KIND = DocumentType.ORDER
ONE, BOTH = keys.ORDERS[:1], keys.ORDERS
LOUD = Config(log_level="DEBUG")
BY_HAND = Scene(given=("site",), road="LOCAL")
TRIED = Scene(given=("site", "order-config"))
CONFIRMABLE = msgspec.structs.replace(TRIED, link="order-1")
MOVED_HOUSE = Scene(given=("site", "site-new-meter"))
"""Account A1 has meter M9 now; it had M1."""
Row = tuple[str, str, str, Order, tuple[SigningKey, ...], Scene]


def vectors() -> Iterator[Vector]:
    """Every vector of these orders, and of what comes after a gateway was wiped."""
    for name, word, why, given, by, scene in (*_settings(), *_looks(), *_forgets()):
        raw = together(KIND, payload_of(given), *by)
        yield Vector(name=f"order-{name}", type=KIND, raw=raw, word=word, why=why, scene=scene)
    yield from _sites()


def _settings() -> Iterator[Row]:
    port = Config(broker=BrokerChange(port=0))
    rows: tuple[tuple[str, str, str, int, Act, Scene], ...] = (
        ("config", "ACCEPTED", "More is logged, on trial for 120 s.", 1, LOUD, WITH_SITE),
        ("config-bad-port", "BAD_SETTING", "There is no port 0.", 1, port, WITH_SITE),
        ("config-bad-level", "BAD_SETTING", "There is no such level.", 1,
         Config(log_level="LOUD"), WITH_SITE),
        ("config-empty", "BAD_SETTING", "Nothing is to change.", 1, Config(), WITH_SITE),
        ("config-so-already", "NOTHING_CHANGES", "That level is in force.", 1,
         Config(log_level="INFO"), WITH_SITE),
        ("config-by-hand", "ROAD_NOT_ALLOWED", "It is confirmed over the link: it comes by it.", 1,
         LOUD, BY_HAND),
        ("config-under-way", "CONFIG_UNDER_WAY", "An earlier one is on trial yet.", 2,
         Config(log_level="ERROR"), TRIED),
        ("confirm", "ACCEPTED", "It comes over a link of the new settings: they stay.", 2,
         Confirm(order="order-1"), CONFIRMABLE),
        ("confirm-old-link", "OLD_LINK", "A link of the old settings proves nothing.", 2,
         Confirm(order="order-1"), TRIED),
        ("confirm-nothing", "NOTHING_TO_CONFIRM", "Nothing of that order is on trial.", 1,
         Confirm(order="order-77"), WITH_SITE),
    )  # fmt: skip
    for name, word, why, seq, act, scene in rows:
        yield name, word, why, order(seq, act), ONE, scene


def _looks() -> Iterator[Row]:
    looking = Scene(given=("site", "order-scan"))
    here, nowhere = Scan(bus="bus-1"), Scan(bus="bus-9")
    yield "log-bundle", "ACCEPTED", "Support asks.", order(1, LogBundle()), ONE, WITH_SITE
    yield "scan", "ACCEPTED", "Who answers on this bus?", order(1, here), ONE, WITH_SITE
    yield "scan-nowhere", "UNKNOWN_BUS", "No such bus here.", order(1, nowhere), ONE, WITH_SITE
    twice = "It is being looked around already."
    yield "scan-under-way", "SCAN_UNDER_WAY", twice, order(2, here), ONE, looking


def _forgets() -> Iterator[Row]:
    forget, wipe = order(1, ForgetMeter(meters=("M1",))), order(1, Wipe())
    twice = order(1, ForgetMeter(meters=("M1", "M1")))
    long = order(1, Wipe(), exp=NOON_MS + 15 * MINUTE_MS + 1)
    needed = msgspec.structs.replace(MOVED_HOUSE, given=("site", "list", "site-new-meter"))
    rows: tuple[tuple[str, str, str, Order, Scene], ...] = (
        ("forget-meter", "ACCEPTED", "It has left the roster.", forget, MOVED_HOUSE),
        ("forget-meter-in-place", "METER_ON_ROSTER", "It is somebody's yet.", forget, WITH_SITE),
        ("forget-meter-needed", "METER_NEEDED", "The newest word of A1 names it.", forget, needed),
        ("forget-meter-twice", "NAMED_TWICE", "A meter stands twice.", twice, MOVED_HOUSE),
        ("wipe", "ACCEPTED", "The gateway is taken out of service.", wipe, WITH_SITE),
        ("wipe-by-hand", "ROAD_NOT_ALLOWED", "It comes by MQTT only.", wipe, BY_HAND),
        ("wipe-long", "LIFE_TOO_LONG", "More than 15 minutes from iat to exp.", long, WITH_SITE),
    )
    for name, word, why, given, scene in rows:
        yield name, word, why, given, BOTH, scene
    alone = "One key where two are needed."
    yield "forget-meter-one-key", "SECOND_KEY_MISSING", alone, forget, ONE, MOVED_HOUSE
    yield "wipe-one-key", "SECOND_KEY_MISSING", alone, wipe, ONE, WITH_SITE


def _sites() -> Iterator[Vector]:
    first = sites.FIRST
    exchanged = msgspec.structs.replace(first.meters[0], serial="M9")
    second = msgspec.structs.replace(first, seq=2, meters=(exchanged, *first.meters[1:]))
    wiped = Scene(given=("site", "order-wipe"))
    rows = (
        ("site-new-meter", "ACCEPTED", "A1 has meter M9 now.", second, WITH_SITE),
        ("site-after-wipe", "SEQ_OLD", "No document of before comes back.", first, wiped),
        ("site-new-after-wipe", "ACCEPTED", "A newer one puts it into service.", second, wiped),
    )
    for name, word, why, site, scene in rows:
        raw = signed(DocumentType.SITE, payload_of(site), keys.SITE)
        yield Vector(name=name, type=DocumentType.SITE, raw=raw, word=word, why=why, scene=scene)
