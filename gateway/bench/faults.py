"""What may go wrong on the simulated line, as one value, and how people ask for it.

Owns the names of the faults, their ranges, and the words `late=0.05,crc=0.01`. Must never make a
fault happen: `answering`, `street` and `wire` do.

A fault is asked for the whole line or for one meter; what a meter is told itself overrides what the
line is told. Shares of answers are drawn for every answer anew; shares of meters once.
"""

from typing import Annotated, Final

import msgspec

from gateway.core.model import SerialText, Value

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Delay = Annotated[float, msgspec.Meta(ge=0, le=60_000)]

SLOW_MS: Final = 100.0
LATE_MS: Final = 300.0
LATE_SPAN: Final = (0.8, 1.6)
"""A late answer begins between so many times `late_ms` after its request."""
EXCEPTION_CODE: Final = 4
BACKFEED_V: Final = 230.0


class FaultError(ValueError):
    """No such fault, or not so, or not there; the message says how to ask for it."""


class Faults(Value, forbid_unknown_fields=True, omit_defaults=True):
    """What goes wrong; None: nothing is said about it here."""

    slow: Share | None = None
    """Share of the answers that come `slow_ms` later than usual."""
    slow_ms: Delay | None = None
    late: Share | None = None
    """Share of the answers that come about `late_ms` after the request: before it, or behind."""
    late_ms: Delay | None = None
    """The master's time-out."""
    mute: Share | None = None
    """Share of the requests that are obeyed, and not answered."""
    busy: Share | None = None
    """Share of the requests that are answered by exception 6 and not obeyed."""
    exception: Share | None = None
    """Share of the requests that are answered by an exception and not obeyed."""
    exception_code: Annotated[int, msgspec.Meta(ge=1, le=255)] | None = None
    address: Share | None = None
    """Share of the answers that come in another unit's name, with a good CRC."""
    crc: Share | None = None
    """Share of the answers with one bit turned over, so that their CRC is wrong."""
    truncated: Share | None = None
    """Share of the answers that end too soon."""
    doubled: Share | None = None
    """Share of the answers that come twice, back to back."""
    noise: Share | None = None
    """Share of the requests after which some bytes come from nobody, around the answer or alone."""
    dead: Share | None = None
    """Share of the meters that never answer."""
    stuck: Share | None = None
    """Share of the meters whose contact stays, whatever is commanded."""
    lies: Share | None = None
    """Share of the meters whose contact stays, while their state registers say that it moved."""
    backfeed: Share | None = None
    """Share of the homes that put a voltage of their own behind their open switch."""
    backfeed_v: Annotated[float, msgspec.Meta(ge=0, le=500)] | None = None
    swapped: SerialText | None = None
    """Another meter of the type stands in its place, which gives this serial number."""
    exchanged: SerialText | None = None
    """It stands at the unit address of the meter with this serial number, and that one at its."""
    echo: bool | None = None
    """The master hears what it says itself."""
    unplugged: bool | None = None
    """The master's port is gone; it comes back under the same path."""

    def over(self, below: "Faults") -> "Faults":
        """These, and below them what others say where these say nothing."""
        return msgspec.structs.replace(below, **msgspec.to_builtins(self))


class Injected(Value):
    """How often a fault has happened since the line began."""

    slow: int = 0
    late: int = 0
    mute: int = 0
    busy: int = 0
    exception: int = 0
    address: int = 0
    crc: int = 0
    truncated: int = 0
    doubled: int = 0
    noise: int = 0
    dead: int = 0
    """Requests that a dead meter did not answer."""
    resisted: int = 0
    """Commands that a stuck or lying contact did not follow."""
    echo: int = 0
    """Times that the master heard itself speak."""
    unplugged: int = 0
    """Times that the port went away."""


OF_ANSWERS: Final = (
    *("slow", "late", "mute", "busy", "exception", "address", "crc", "truncated", "doubled"),
    "noise",
)
"""Drawn for every answer, in this order."""
OF_METERS: Final = ("dead", "stuck", "lies", "backfeed")
"""Drawn once for the meters of a line; of one meter it is so or not."""
OF_ONE_METER: Final = ("swapped", "exchanged")
OF_THE_LINE: Final = ("echo", "unplugged")
SWITCHES: Final = frozenset((*OF_ANSWERS, *OF_METERS, *OF_THE_LINE))
"""Named without a value they mean always, or all."""
WANTED: Final = {
    **dict.fromkeys((*OF_ANSWERS, *OF_METERS), "a share from 0 to 1, as 0.05; alone it means 1"),
    **dict.fromkeys(OF_THE_LINE, "1 or 0; alone it means 1"),
    **dict.fromkeys(OF_ONE_METER, "a serial number"),
    **dict.fromkeys(("slow_ms", "late_ms"), "milliseconds from 0 to 60000"),
    "exception_code": "a code from 1 to 255",
    "backfeed_v": "volts from 0 to 500",
}


def parse(text: str) -> tuple[str | None, Faults]:
    """`late=0.05,crc` for the line, `H1:dead` for the meter H1. Raises `FaultError`."""
    place, colon, rest = text.rpartition(":")
    serial = place.strip() if colon else None
    said: dict[str, object] = {}
    for part in rest.split(","):
        name, equals, value = (it.strip() for it in part.partition("="))
        if name in said:
            raise FaultError(f"{name} stands twice; leave one out")
        said[name] = _value(name, value if equals else None)
    faults = Faults(**said)  # type: ignore[arg-type]
    check(faults, serial)
    return serial, faults


def check(faults: Faults, serial: str | None) -> None:
    """`FaultError` where these cannot befall the meter with this serial number; None: the line."""
    said: dict[str, object] = msgspec.to_builtins(faults)
    for name, value in said.items():
        if serial is None and name in OF_ONE_METER:
            raise FaultError(f"{name} befalls one meter: write SERIAL:{name}={value}")
        if serial is not None and name in OF_THE_LINE:
            raise FaultError(f"{name} befalls the line, not meter {serial}: leave the serial out")
        if serial is not None and name in OF_METERS and value not in {0, 1}:
            raise FaultError(
                f"{name}={value} for meter {serial}: of one meter it is so or not: "
                f"write {name}, or {name}=0"
            )


def _value(name: str, text: str | None) -> object:
    if name not in WANTED:
        raise FaultError(f"no fault {name or 'without a name'}; name one of {', '.join(WANTED)}")
    if text is None:
        if name not in SWITCHES:
            raise FaultError(f"{name} needs a value: give {WANTED[name]}")
        return name in OF_THE_LINE or 1.0
    try:
        converted = msgspec.convert({name: text}, Faults, strict=False)
    except msgspec.ValidationError:
        raise FaultError(f"{name}={text}: give {WANTED[name]}") from None
    value: object = getattr(converted, name)
    if value is None:  # the word "null" is no value
        raise FaultError(f"{name}={text}: give {WANTED[name]}")
    return value
