"""How much of a line's time its meters take, and how often each may be read.

Owns the length of an exchange on the wire, and the intervals at which a round fits the line. Must
never measure, send or remember: what is known of a line is handed in. All functions are pure.

MODBUS over Serial Line V1.02, section 2.5.1.1: 3.5 characters of silence, 1.75 ms above 19200 baud.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from gateway.bus.device import Device
from gateway.bus.frame import Read, answer_bytes
from gateway.bus.port import BusSettings
from gateway.bus.reading import identity_read, measure_reads, state_read, value_reads
from gateway.bus.rtu import ADAPTER_S, SHORT_SILENCE_S, Timing
from gateway.core.fact import PollingSeen
from gateway.core.model import Value

READ_REQUEST_BYTES: Final = 8
POLLING_SHARE: Final = 0.5
"""Of a line's time; the rest is left to commands, so that their steps seldom find it taken."""
CONNECTED_SHARE_MIN: Final = 0.1
"""Of a line's time; those that do not wait get this much, however many wait."""
MEASURED_SHARE_MIN: Final = 0.1
"""Of a line's time; however many states there are to be read, values are read too."""
TURNAROUND_S: Final = 0.05
"""From a request's end to the answer's beginning, as long as nobody has measured it."""
NEWEST_WEIGHT: Final = 1 / 32
"""What one answer counts for against all that were measured before."""
READ_EVERY_MAX_S: Final = 60.0
"""A meter that is read less often is hardly known: half the age at which, by default, no state is
acted upon any more."""


class Speed(Value):
    """How fast characters travel on a line, and how soon its meters begin to answer."""

    baud: int
    character_bits: int
    turnaround_s: float = TURNAROUND_S

    @property
    def character_s(self) -> float:
        """Seconds of one character."""
        return self.character_bits / self.baud

    def silence_s(self, timing: Timing) -> float:
        """Seconds of silence before a request to such a meter."""
        short_s = SHORT_SILENCE_S if self.baud > 19_200 else 3.5 * self.character_s
        return max(short_s, timing.gap_ms / 1000)

    def heard(self, request: Read, took_s: float) -> "Speed":
        """The same line after one more answer, whose end came so long after its request's begin."""
        characters = READ_REQUEST_BYTES + answer_bytes(request)
        measured_s = max(0.0, took_s - characters * self.character_s)
        newer_s = self.turnaround_s + (measured_s - self.turnaround_s) * NEWEST_WEIGHT
        return msgspec.structs.replace(self, turnaround_s=newer_s)


class Intervals(Value):
    """Seconds between two readings."""

    waiting_s: float = 2.0
    """Of a meter that is not connected: that is where somebody waits."""
    connected_s: float = 10.0
    checked_s: float = 5.0
    """Of a transformer's check meter."""
    measured_s: float = 30.0
    """Of what anybody's meter measures, unless the site says otherwise."""


class Demand(Value):
    """Seconds that one reading of everybody takes of the line, by what sets its interval."""

    devices: int = 0
    waiting_s: float = 0.0
    connected_s: float = 0.0
    checked_s: float = 0.0
    measured_s: float = 0.0
    measured_every_s: float | None = None
    """How often the site wants what is measured, where it says so."""

    @property
    def round_s(self) -> float:
        """Seconds for everything, once, back to back."""
        return self.waiting_s + self.connected_s + self.checked_s + self.measured_s

    def urgent_share(self, every: Intervals) -> float:
        """The share of the line's time for those who wait, and for check meters."""
        return self.waiting_s / every.waiting_s + self.checked_s / every.checked_s

    def connected_share(self, every: Intervals) -> float:
        """The share of the line's time for those who do not."""
        return self.connected_s / every.connected_s

    def measured_share(self, every: Intervals) -> float:
        """The share of the line's time for what their meters measure."""
        return self.measured_s / every.measured_s

    def share(self, every: Intervals) -> float:
        """The share of the line's time for everything."""
        routine = self.connected_share(every) + self.measured_share(every)
        return self.urgent_share(every) + routine


class Budget(Value):
    """What a round may take of a line's time, and the intervals at which it does not take more."""

    demand: Demand
    wished_share: float
    """What the wished intervals would take: more than 1 is more than there is."""
    share: float
    intervals: Intervals

    @property
    def slowest_s(self) -> float:
        """The longest time between two looks at some device; 0 where there is none."""
        demand, every = self.demand, self.intervals
        looks = (
            (demand.waiting_s, every.waiting_s),
            (demand.connected_s, every.connected_s),
            (demand.checked_s, every.checked_s),
        )
        return max((interval_s for needed_s, interval_s in looks if needed_s), default=0.0)


class Outlook(Value):
    """The budgets of a line with everybody connected, and with everybody waiting."""

    lit: Budget
    dark: Budget

    @property
    def fits(self) -> bool:
        """Whether every device is read often enough, whatever befalls."""
        return max(self.lit.slowest_s, self.dark.slowest_s) <= READ_EVERY_MAX_S


def exchange_s(request: Read, timing: Timing, speed: Speed) -> float:
    """Seconds from the silence before a request to the end of its answer."""
    characters = READ_REQUEST_BYTES + answer_bytes(request)
    return speed.silence_s(timing) + characters * speed.character_s + speed.turnaround_s


def miss_s(request: Read, timing: Timing, speed: Speed) -> float:
    """Seconds that a request without an answer keeps the line, the late window included."""
    answer_s = answer_bytes(request) * speed.character_s + ADAPTER_S
    waits_s = (timing.timeout_ms + timing.turnaround_max_ms) / 1000 + 2 * answer_s
    return speed.silence_s(timing) + READ_REQUEST_BYTES * speed.character_s + waits_s


def look_read(device: Device) -> Read | None:
    """The one request that shows whether a meter is there, and its state where that can be read.

    None for what is only measured: that shows it too.
    """
    if device.measures_only:
        return None
    # A type that shows neither state nor values gives at least a sign of life.
    return state_read(device) or identity_read(device)


def demand_of(devices: Iterable[tuple[Device, bool]], speed: Speed) -> Demand:
    """What these devices ask of the line; with each, whether somebody waits there."""
    found = Demand()
    for device, waits in devices:
        timing, look = device.profile.timing, look_read(device)
        look_s = 0.0 if look is None else exchange_s(look, timing, speed)
        reads = measure_reads(device) if device.measures_only else value_reads(device)
        measured_s = sum(exchange_s(read.request, timing, speed) for read in reads)
        checks = device.measures_only
        found = Demand(
            devices=found.devices + 1,
            waiting_s=found.waiting_s + look_s * waits,
            connected_s=found.connected_s + look_s * (not waits),
            checked_s=found.checked_s + measured_s * checks,
            measured_s=found.measured_s + measured_s * (not checks),
            measured_every_s=device.values_every_s or found.measured_every_s,
        )
    return found


def budget(demand: Demand, wished: Intervals) -> Budget:
    """The wished intervals, stretched until they fit: values first, who waits last."""
    measured_every_s = demand.measured_every_s or wished.measured_s
    wished = msgspec.structs.replace(wished, measured_s=measured_every_s)
    urgent, connected = demand.urgent_share(wished), demand.connected_share(wished)
    measured = demand.measured_share(wished)
    least_connected = min(connected, CONNECTED_SHARE_MIN)
    least_measured = min(measured, MEASURED_SHARE_MIN)
    urgent_by = _stretch(urgent, POLLING_SHARE - least_connected - least_measured)
    left = POLLING_SHARE - urgent / urgent_by
    connected_by = _stretch(connected, max(least_connected, left - least_measured))
    left -= connected / connected_by
    measured_by = _stretch(measured, max(least_measured, left))
    intervals = Intervals(
        waiting_s=wished.waiting_s * urgent_by,
        connected_s=wished.connected_s * connected_by,
        checked_s=wished.checked_s * urgent_by,
        measured_s=wished.measured_s * measured_by,
    )
    return Budget(
        demand=demand,
        wished_share=demand.share(wished),
        share=demand.share(intervals),
        intervals=intervals,
    )


def _stretch(share: float, allowed: float) -> float:
    return max(1.0, share / allowed) if share else 1.0


def outlook(devices: Sequence[Device], speed: Speed, wished: Intervals) -> Outlook:
    """Both ends of what a line may have to carry."""
    shown = [(device, state_read(device) is not None) for device in devices]
    lit = demand_of(((device, False) for device, _ in shown), speed)
    return Outlook(lit=budget(lit, wished), dark=budget(demand_of(shown, speed), wished))


def told(found: Budget) -> PollingSeen:
    """A budget in core's words."""
    every = found.intervals
    return PollingSeen(
        devices=found.demand.devices,
        share_percent=round(100 * found.share),
        wished_percent=round(100 * found.wished_share),
        waiting_ms=round(1000 * every.waiting_s),
        connected_ms=round(1000 * every.connected_s),
        checked_ms=round(1000 * every.checked_s),
        values_ms=round(1000 * every.measured_s),
    )


def budget_words(bus: BusSettings, devices: Sequence[Device]) -> str:
    """The computed budget of one configured bus in one line."""
    return f"bus {bus.name} at {bus.baud} {bus.format}: {outlook_words(_expected(bus, devices))}"


def outlook_words(found: Outlook) -> str:
    """Both budgets in one line."""
    lit, dark = found.lit, found.dark
    return (
        f"{lit.demand.devices} devices, {lit.demand.round_s:.1f} s for all of them; connected, "
        f"their states are read every {lit.intervals.connected_s:.0f} s and their values every "
        f"{lit.intervals.measured_s:.0f} s, which takes {lit.share:.0%} of the line's time; if all "
        f"wait, their states every {dark.intervals.waiting_s:.0f} s"
    )


def overfull(bus: BusSettings, devices: Sequence[Device]) -> str | None:
    """One line with the mend where a bus has more devices than it can read in time."""
    found = _expected(bus, devices)
    if found.fits:
        return None
    slowest_s = max(found.lit.slowest_s, found.dark.slowest_s)
    return (
        f"bus {bus.name}: {len(devices)} devices at {bus.baud} baud: some are read only every "
        f"{slowest_s:.0f} s, and {READ_EVERY_MAX_S:.0f} s is the most that is useful. Raise the "
        "baud rate, or split the bus."
    )


def _expected(bus: BusSettings, devices: Sequence[Device]) -> Outlook:
    speed = Speed(baud=bus.baud, character_bits=bus.character_bits)
    return outlook(devices, speed, Intervals())
