"""Homes whose switch can be stuck, can lie, or be somebody else's: the truth behind a close.

Owns where each contact really stands and who moved it when. Must never use the master's framing:
the registers are held as the makers' tables have them, on the bench's slave.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.core.model import Meter
from tests.campaign.meter import CodedMeter, Relay

LIVE_V: Final = 231.0
LOAD_A: Final = 1.3
CHANNELS: Final = 8
ACREL_FORCE: Final = 0x0057
ACREL_STATUS: Final = 0x0165
ACREL_CLOSED: Final = 0x2000
DDS_RELAY: Final = 0x001A


@dataclass(slots=True, eq=False)
class Home:
    """One service point as it really is. `moved` is told of every write that came to its switch."""

    meter: Meter
    relay: Relay = Relay.GOOD
    loaded: bool = True
    """Something is switched on behind the meter."""
    fed_back: bool = False
    deceives: bool = False
    """It shows current wherever its switch was told to let some through."""
    swapped: bool = False
    """Another meter than the roster's stands at its address."""
    closed: bool = False
    written: bool = False
    """What the switch's own register or coil was told last."""
    obeyed: int = 0
    """Writes that came to its switch."""
    came: Callable[["Home"], None] = field(default=lambda _: None)

    def told(self, closed: bool) -> None:
        """A write has come to its switch."""
        self.obeyed += 1
        if self.relay is not Relay.STUCK:
            self.written = closed
        if self.relay is Relay.GOOD:
            self.closed = closed
        self.came(self)

    def cut(self) -> None:
        """Its switch is opened, not by this line."""
        self.closed = self.written = False

    @property
    def number(self) -> int:
        """The serial number that answers here."""
        return int("".join(filter(str.isdigit, self.meter.serial))) + self.swapped

    @property
    def load_v(self) -> float:
        """The voltage behind the switch."""
        return LIVE_V if self.closed or self.fed_back else 0.0

    @property
    def current_a(self) -> float:
        """What flows through the switch."""
        flows = self.closed or (self.deceives and self.written)
        return LOAD_A if flows and self.loaded else 0.0


class Dds(CodedMeter):
    """A DDS238-2 ZN/SR: its relay is read where it was written."""

    def __init__(self, home: Home) -> None:
        super().__init__(home.meter.unit)
        self._home = home

    def holding(self, _now_s: float) -> Mapping[int, int]:
        """Voltage and current are next to each other."""
        amperes = round(100 * self._home.current_a)
        return {0x0C: round(10 * LIVE_V), 0x0D: amperes, DDS_RELAY: int(self._home.written)}

    def obey_registers(self, address: int, values: Sequence[int], _now_s: float) -> None:
        """The relay, and nothing else, is ever written."""
        assert (address, len(values)) == (DDS_RELAY, 1)
        self._home.told(bool(values[0]))


class Acrel(CodedMeter):
    """An Acrel DDSY1352: its status word shows the contact."""

    def __init__(self, home: Home) -> None:
        super().__init__(home.meter.unit)
        self._home = home

    def holding(self, _now_s: float) -> Mapping[int, int]:
        """The serial number in BCD, the values, the force register and the status word."""
        digits = f"{self._home.number:012}"
        number = {0x43 + at: int(digits[4 * at : 4 * at + 4], 16) for at in range(3)}
        return number | {
            0x0B: round(10 * LIVE_V),
            0x0C: round(100 * self._home.current_a),
            ACREL_FORCE: 1,
            ACREL_FORCE + 1: int(not self._home.written),
            ACREL_STATUS: ACREL_CLOSED * self._home.closed,
        }

    def obey_registers(self, address: int, values: Sequence[int], _now_s: float) -> None:
        """Forced closed is `0001 0000`, forced open `0001 0001`."""
        assert (address, values[0], len(values)) == (ACREL_FORCE, 1, 2)
        self._home.told(values[1] == 0)


class Sdm(CodedMeter):
    """An SDM230 behind a contactor: it only measures."""

    def __init__(self, home: Home) -> None:
        super().__init__(home.meter.unit)
        self._home = home

    def holding(self, _now_s: float) -> Mapping[int, int]:
        """The serial number."""
        return _registers(0xFC00, struct.pack(">I", self._home.number))

    def input_registers(self, _now_s: float) -> Mapping[int, int]:
        """What is behind the contactor."""
        volts = _registers(0x0000, struct.pack(">f", self._home.load_v))
        return volts | _registers(0x0006, struct.pack(">f", self._home.current_a))


class Board(CodedMeter):
    """A relay board: its coils as written, its inputs as the contacts are."""

    def __init__(self, unit: int, homes: Mapping[int, Home]) -> None:
        """`homes` by channel."""
        super().__init__(unit)
        self._homes = homes

    def coils(self, _now_s: float) -> Mapping[int, bool]:
        """As written."""
        return {at: at in self._homes and self._homes[at].written for at in range(CHANNELS)}

    def inputs(self, _now_s: float) -> Mapping[int, bool]:
        """As the contacts are."""
        return {at: at in self._homes and self._homes[at].closed for at in range(CHANNELS)}

    def obey_coils(self, address: int, values: Sequence[int], _now_s: float) -> None:
        """One coil at a time, and none that no home has."""
        assert len(values) == 1
        self._homes[address].told(bool(values[0]))


def _registers(first: int, held: bytes) -> dict[int, int]:
    values = struct.unpack(f">{len(held) // 2}H", held)
    return dict(enumerate(values, start=first))
