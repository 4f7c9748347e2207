"""All meters of one line: from the entries of the meters file to the slaves on the wire.

Owns who stands at which unit address, and refuses what cannot stand together. Must never do I/O.
"""

from collections.abc import Sequence
from typing import assert_never

from gateway.bench.house import Switch
from gateway.bench.meters import (
    AcrelDdsy1352,
    Dds238,
    LineError,
    Meter,
    MeterEntry,
    MeterTruth,
    MeterType,
    Position,
    RelayBoard,
    Sdm230,
    Sdm230Relay,
)
from gateway.bench.slave import ModbusSlave


class Street:
    """All meters of one line, by serial number, and all slaves, by unit address."""

    def __init__(self, entries: Sequence[MeterEntry], now_s: float) -> None:
        """Put them up. `LineError` names the entry (from 0) that cannot stand here."""
        self.meters: dict[str, Meter] = {}
        self.slaves: dict[int, ModbusSlave] = _boards(entries)
        for place, entry in enumerate(entries):
            try:
                meter = self._put_up(entry, now_s)
            except LineError as mistake:
                raise LineError(f"meter {place}: {mistake}") from None
            self.meters[entry.serial] = meter
            self.slaves[entry.unit] = meter

    def truth(self, now_s: float) -> tuple[MeterTruth, ...]:
        """What is really the case, in the order of the file."""
        return tuple(it.truth(now_s) for it in self.meters.values())

    def _put_up(self, entry: MeterEntry, now_s: float) -> Meter:
        if entry.unit in self.slaves:
            raise LineError(f"unit {entry.unit} is taken: give every meter and board its own")
        if entry.serial in self.meters:
            raise LineError(f"serial {entry.serial} is taken: give every meter its own")
        switch = Switch(closed=entry.state is Position.CLOSED)
        match entry.type:
            case MeterType.ACREL_DDSY1352:
                return AcrelDdsy1352(entry, switch, now_s)
            case MeterType.DDS238_2_ZN_SR:
                return Dds238(entry, switch, now_s)
            case MeterType.SDM230_RELAY:
                board = self.slaves.get(entry.switch_unit or 0)
                if not isinstance(board, RelayBoard) or entry.switch_channel is None:
                    raise LineError(f"{entry.type} needs switch_unit and switch_channel")
                return Sdm230Relay(entry, board, entry.switch_channel, now_s)
            case MeterType.EASTRON_SDM230:
                if entry.state is Position.OPEN or entry.switch_unit is not None:
                    raise LineError(f"{entry.type} has no switch: leave state and switch_unit out")
                return Sdm230(entry, switch, now_s)
            case _:
                assert_never(entry.type)


def _boards(entries: Sequence[MeterEntry]) -> dict[int, ModbusSlave]:
    closed: dict[int, dict[int, bool]] = {}
    for place, entry in enumerate(entries):
        if entry.switch_unit is None or entry.switch_channel is None:
            continue
        channels = closed.setdefault(entry.switch_unit, {})
        if entry.switch_channel in channels:
            raise LineError(
                f"meter {place}: channel {entry.switch_channel} of board {entry.switch_unit} is "
                "taken: give every meter its own"
            )
        channels[entry.switch_channel] = entry.state is Position.CLOSED
    return {unit: RelayBoard(unit, channels) for unit, channels in closed.items()}
