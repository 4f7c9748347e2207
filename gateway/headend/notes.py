"""Notes: what a gateway says of one order on `up/order/{id}`, of one meter on `up/meter/{serial}`.

Owns the form of both, from values to bytes and back. Must never do I/O, ask the time or choose what
is said (`publishing` does).
"""

import base64
import binascii
import zlib

import msgspec

from gateway.core.model import (
    Count,
    GatewayId,
    IdText,
    Now,
    Reading,
    SerialText,
    SupplyState,
    Tagged,
    Value,
)
from gateway.core.progress import OrderState, Progress, Result
from gateway.core.readings import Quality
from gateway.core.waiting import at_ms, instant_of
from gateway.headend.messages import BadPayload, MessageFlaw, decoded

NOTE_MAX = 256 * 1024
"""Bytes of one note: far above what an order of as many homes as are allowed comes to."""

BUNDLE_PLAIN_MAX = 4 * 1024 * 1024
"""Bytes of a bundle that is unpacked."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class Bundle(Tagged, tag="bundle"):
    """The result of a `log_bundle`: JSON as zlib (RFC 1950), as base64 (RFC 4648)."""

    zlib: str


class OrderNote(Value):
    """How far one order has come, as the gateway says on `up/order/{id}`.

    Of one order the higher `version` is the newer; versions may be left out. Version 0 answers an
    order that counts as never come: nothing is kept of it, and it may be accepted yet. `at`: when
    each state was first reached, in milliseconds UTC since 1970 by the gateway's calendar, of which
    `trusted` says whether somebody answers for it. `result` is null where there is none (yet), and
    where it is so old that only the records have it.
    """

    gateway: IdText
    id: IdText
    kind: str
    state: OrderState
    version: Count
    reason: str
    detail: str
    at: dict[str, int]
    trusted: bool
    result: Result | Bundle | None


class MeterValues(Value, omit_defaults=True):
    """What a meter measured: `wall_ms` when; a value is left out where its type shows none."""

    wall_ms: int
    supply_mv: int | None = None
    load_mv: int | None = None
    current_ma: int | None = None
    power_w: int | None = None
    energy_wh: int | None = None


class MeterNote(Value):
    """What was last read of one meter, as the gateway says on `up/meter/{serial}`.

    `wall_ms`: when its state was read, in milliseconds UTC since 1970 by the gateway's calendar, of
    which `trusted` says whether somebody answers for it; null where it was not read yet. Whether
    the gateway is there to read it at all, `up/status` says.
    """

    gateway: IdText
    meter: SerialText
    state: SupplyState
    quality: Quality
    wall_ms: int | None
    trusted: bool
    values: MeterValues | None


def pack_order(gateway: GatewayId, progress: Progress, bundle: bytes | None = None) -> bytes:
    """How far an order has come; `bundle`, as zlib, is the result where the order asked for it."""
    said = None if bundle is None else Bundle(zlib=base64.b64encode(bundle).decode())
    return _encode(
        OrderNote(
            gateway=gateway,
            id=progress.id,
            kind=progress.kind,
            state=progress.state,
            version=progress.version,
            reason=progress.reason,
            detail=progress.detail,
            at=dict(progress.at),
            trusted=progress.trusted,
            result=progress.result if said is None else said,
        )
    )


def read_order(payload: bytes) -> OrderNote:
    """How far an order has come, for the head end. Raises `BadPayload`."""
    return decoded(_measured(payload), OrderNote, MessageFlaw.MALFORMED_ORDER)


def read_bundle(bundle: Bundle) -> bytes:
    """The JSON of a bundle, for the head end. Raises `BadPayload`."""
    try:
        inflater = zlib.decompressobj()
        plain = inflater.decompress(base64.b64decode(bundle.zlib, validate=True), BUNDLE_PLAIN_MAX)
    except (binascii.Error, zlib.error) as error:
        raise BadPayload(MessageFlaw.MALFORMED_ORDER, f"the bundle: {error}") from error
    if not inflater.eof:
        raise BadPayload(MessageFlaw.TOO_LONG, f"the bundle has more than {BUNDLE_PLAIN_MAX} bytes")
    return plain


def pack_meter(
    gateway: GatewayId, serial: SerialText, reading: Reading | None, quality: Quality, now: Now
) -> bytes:
    """What was last read of a meter."""
    state, wall_ms, values = SupplyState.UNKNOWN, None, None
    if reading is not None:
        state, wall_ms = reading.state, _wall_ms(now, reading.mono_ms)
    if reading is not None and reading.values_ms is not None:
        values = MeterValues(
            wall_ms=_wall_ms(now, reading.values_ms),
            supply_mv=reading.supply_mv,
            load_mv=reading.load_mv,
            current_ma=reading.current_ma,
            power_w=reading.power_w,
            energy_wh=reading.energy_wh,
        )
    return _encode(
        MeterNote(
            gateway=gateway,
            meter=serial,
            state=state,
            quality=quality,
            wall_ms=wall_ms,
            trusted=now.trusted,
            values=values,
        )
    )


def read_meter(payload: bytes) -> MeterNote:
    """What was last read of a meter, for the head end. Raises `BadPayload`."""
    return decoded(_measured(payload), MeterNote, MessageFlaw.MALFORMED_METER)


def _wall_ms(now: Now, mono_ms: int) -> int:
    return at_ms(instant_of(now), mono_ms).wall_ms


def _measured(payload: bytes) -> bytes:
    if len(payload) > NOTE_MAX:
        raise BadPayload(MessageFlaw.TOO_LONG, f"{len(payload)} bytes, at most {NOTE_MAX}")
    return payload
