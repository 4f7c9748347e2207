"""All meters of one line: from the entries of the meters file to the slaves on the wire.

Owns who stands at which unit address, refuses what cannot stand together, and lets faults befall
meters. Must never do I/O.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

import msgspec

from gateway.bench.boards import RelayBoard
from gateway.bench.devices import Acrel, BehindContactor, Dds238, Ev300, Measuring, Meter
from gateway.bench.faults import BACKFEED_V, OF_METERS, FaultError, Faults, check
from gateway.bench.house import Switch
from gateway.bench.maps import BOARDS
from gateway.bench.meters import LineError, MeterEntry, MeterTruth, MeterType, Position
from gateway.bench.slave import ModbusSlave

SWITCHING: Final[Mapping[MeterType, type[Meter]]] = {
    MeterType.ACREL_DDSY1352: Acrel,
    MeterType.ACREL_DTSY1352: Acrel,
    MeterType.DDS238_2_ZN_SR: Dds238,
    MeterType.ACCUENERGY_EV300: Ev300,
}
"""The types with a switch of their own."""


class Street:
    """All meters of one line, by serial number, and all slaves, by unit address."""

    def __init__(self, entries: Sequence[MeterEntry], now_s: float, seed: int = 0) -> None:
        """Put them up. `LineError` names the entry (from 0) that cannot stand here."""
        self._seed = seed
        self.meters: dict[str, Meter] = {}
        self._boards = _boards(entries, now_s)
        self._home: dict[int, ModbusSlave] = {**self._boards}
        for place, entry in enumerate(entries):
            try:
                meter = self._put_up(entry, now_s)
            except LineError as mistake:
                raise LineError(f"meter {place}: {mistake}") from None
            self.meters[entry.serial] = meter
            self._home[entry.unit] = meter
        self.slaves = dict(self._home)
        """By the unit address at which they really answer."""
        self.line_faults = Faults()
        self._own = {serial: meter.entry.faults for serial, meter in self.meters.items()}
        self._swapped: dict[str, str] = {}
        for place, entry in enumerate(entries):
            try:
                self.befall(Faults(), entry.serial)
            except LineError as mistake:
                raise LineError(f"meter {place}: {mistake}") from None

    def truth(self, now_s: float) -> tuple[MeterTruth, ...]:
        """What is really the case, in the order of the file."""
        self.pass_time(now_s)
        return tuple(it.truth(now_s) for it in self.meters.values())

    def pass_time(self, now_s: float) -> None:
        """Let happen what happens by itself."""
        for board in self._boards.values():
            board.pass_time(now_s)

    def resisted(self) -> int:
        """Commands that a stuck or lying contact did not follow."""
        return sum(it.switch.resisted for it in self.meters.values())

    def meter(self, serial: str) -> Meter:
        """The meter of this serial number (of the meters file). `LineError`: there is none."""
        meter = self.meters.get(serial)
        if meter is None:
            raise LineError(f"no meter {serial} on this line")
        return meter

    def befall(self, faults: Faults, serial: str | None = None) -> None:
        """Let these befall the line or one meter, beside those there are. Raises `LineError`."""
        line, own = self.line_faults, dict(self._own)
        if serial is None:
            line = faults.over(line)
        else:
            known = self.meter(serial).entry.serial
            own[known] = faults.over(own[known])
        self._bring_about(line, own)

    def clear(self, serial: str | None = None) -> None:
        """End all faults, or those that one meter has of its own. Raises `LineError`."""
        if serial is None:
            self._bring_about(Faults(), dict.fromkeys(self._own, Faults()))
        else:
            known = self.meter(serial).entry.serial
            self._bring_about(self.line_faults, {**self._own, known: Faults()})

    def _bring_about(self, line: Faults, own: Mapping[str, Faults]) -> None:
        try:
            check(line, None)
            for serial, faults in own.items():
                check(faults, serial)
        except FaultError as mistake:
            raise LineError(str(mistake)) from None
        slaves = self._exchanged(own)
        self._swap(own)
        # From here on nothing can be refused: all of it happens, or none.
        self.slaves, self.line_faults, self._own = slaves, line, dict(own)
        for board in self._boards.values():
            board.faults = line
        drawn = {name: self._drawn(name, getattr(line, name) or 0.0) for name in OF_METERS}
        for serial, meter in self.meters.items():
            fates = {name: float(serial in drawn[name]) for name in OF_METERS}
            self._afflict(meter, own[serial].over(msgspec.structs.replace(line, **fates)))

    def _afflict(self, meter: Meter, faults: Faults) -> None:
        meter.faults = faults
        meter.dead = bool(faults.dead)
        meter.switch.stuck = bool(faults.stuck)
        meter.switch.lies = bool(faults.lies)
        volts = BACKFEED_V if faults.backfeed_v is None else faults.backfeed_v
        meter.home.backfeed_v = volts if faults.backfeed else 0.0

    def _drawn(self, name: str, share: float) -> frozenset[str]:
        """The meters that a share of the line means: a greater share takes in a smaller one."""
        serials = list(self.meters)
        Random(f"{self._seed}/{name}").shuffle(serials)
        wanted = share * len(serials)
        return frozenset(serials[: max(round(wanted), int(wanted > 0))])

    def _swap(self, own: Mapping[str, Faults]) -> None:
        for serial, meter in self.meters.items():
            given = own[serial].swapped or serial
            # A number that was written into the meter stays until the meter itself is changed.
            if given != self._swapped.get(serial, serial):
                meter.swap(given)
                self._swapped[serial] = given

    def _exchanged(self, own: Mapping[str, Faults]) -> dict[int, ModbusSlave]:
        """Who answers at which address, when meters stand at each other's."""
        pairs = {frozenset((at, it.exchanged)) for at, it in own.items() if it.exchanged}
        slaves, moved = dict(self._home), set[str]()
        for pair in sorted(pairs, key=sorted):
            if len(pair) == 1 or moved & pair:
                raise LineError(f"exchanged: {min(pair)} can be with one other meter")
            one, other = (self.meter(serial) for serial in pair)
            slaves[one.unit], slaves[other.unit] = other, one
            moved |= pair
        return slaves

    def _put_up(self, entry: MeterEntry, now_s: float) -> Meter:
        if entry.unit in self._home:
            raise LineError(f"unit {entry.unit} is taken: give every meter and board its own")
        if entry.serial in self.meters:
            raise LineError(f"serial {entry.serial} is taken: give every meter its own")
        switch = Switch(closed=entry.state is Position.CLOSED)
        on_board = entry.switch_unit is not None or entry.switch_channel is not None
        if (kind := SWITCHING.get(entry.type)) is not None:
            if on_board:
                raise LineError(
                    f"{entry.type} has a switch: leave switch_unit and switch_channel out"
                )
            return kind(entry, switch, now_s)
        if on_board or entry.type is MeterType.SDM230_RELAY:
            board = self._boards.get(entry.switch_unit or 0)
            if board is None or entry.switch_channel is None:
                raise LineError(f"{entry.type} needs switch_unit and switch_channel, both")
            return BehindContactor(entry, board, entry.switch_channel, now_s)
        if entry.state is Position.OPEN:
            raise LineError(f"{entry.type} has no switch: leave state out, or give switch_unit")
        return Measuring(entry, switch, now_s)


def _boards(entries: Sequence[MeterEntry], now_s: float) -> dict[int, RelayBoard]:
    entry_of: dict[int, MeterEntry] = {}
    closed: dict[int, dict[int, bool]] = {}
    for place, entry in enumerate(entries):
        unit, channel = entry.switch_unit, entry.switch_channel
        if unit is None or channel is None:
            continue
        first = entry_of.setdefault(unit, entry)
        channels = closed.setdefault(unit, {})
        if (first.board, first.board_drops) != (entry.board, entry.board_drops):
            raise LineError(f"meter {place}: board {unit} is {first.board} elsewhere: say the same")
        if channel >= BOARDS[entry.board].channels:
            raise LineError(f"meter {place}: {entry.board} has no channel {channel}: begin at 0")
        if channel in channels:
            raise LineError(
                f"meter {place}: channel {channel} of board {unit} is taken: give every meter "
                "its own"
            )
        channels[channel] = entry.state is Position.CLOSED
    return {
        unit: RelayBoard(
            unit, BOARDS[first.board], closed[unit], drops=first.board_drops, now_s=now_s
        )
        for unit, first in entry_of.items()
    }
