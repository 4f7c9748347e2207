"""The simulated relay boards: coils that drive contactors, inputs that see them.

Owns the boards' behaviour. Must never know the meters that stand behind the contactors.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from gateway.bench.house import Switch
from gateway.bench.maps import BoardMap
from gateway.bench.slave import COIL_TOGGLE, ExceptionCode, Function, ModbusSlave, refuse

TURNAROUND_S: Final = 0.005
BITS: Final = frozenset(
    {Function.READ_COILS, Function.READ_INPUTS, Function.WRITE_COIL, Function.WRITE_COILS}
)
SETTINGS: Final = frozenset(
    {Function.READ_HOLDING, Function.WRITE_REGISTER, Function.WRITE_REGISTERS}
)


class RelayBoard(ModbusSlave):
    """Relays that drive contactors, and inputs with the contactors' own contacts."""

    TIMEOUT: ClassVar = 8
    """Holding register: seconds that the relays outlast the last request."""

    def __init__(
        self, unit: int, board: BoardMap, closed: Mapping[int, bool], *, drops: bool, now_s: float
    ) -> None:
        super().__init__(unit, TURNAROUND_S)
        self.map = board
        self.functions = BITS if board.timeout_s is None else BITS | SETTINGS
        self.channels = tuple(Switch(closed=closed.get(it, False)) for it in range(board.channels))
        self._timeout_s = board.timeout_s or 0
        self._drops = drops and board.timeout_s is not None
        self._heard_s = now_s

    def respond(self, request: bytes, now_s: float) -> bytes | None:
        """The answer to one PDU; who is asked is not forgotten."""
        self.pass_time(now_s)
        self._heard_s = now_s
        return super().respond(request, now_s)

    def pass_time(self, now_s: float) -> None:
        """Open the relays if nobody has asked for too long."""
        over_s = self._heard_s + self._timeout_s
        if not (self._drops and self._timeout_s) or now_s < over_s:
            return
        for switch in self.channels:
            switch.command(False, over_s)

    def coils(self, _: float) -> Mapping[int, bool]:
        """What the relays were told."""
        return {at: it.commanded for at, it in enumerate(self.channels, self.map.coils_from)}

    def inputs(self, now_s: float) -> Mapping[int, bool]:
        """Where the contactors are."""
        return {at: it.shown(now_s) for at, it in enumerate(self.channels, self.map.inputs_from)}

    def holding(self, _: float) -> Mapping[int, int]:
        """The time-out."""
        return {self.TIMEOUT: self._timeout_s}

    def obey_coils(self, address: int, values: Sequence[int], now_s: float) -> None:
        """Drive the contactors, or turn one over."""
        first = address - self.map.coils_from
        if first < 0 or first + len(values) > len(self.channels):
            refuse(ExceptionCode.ILLEGAL_ADDRESS)
        for switch, value in zip(self.channels[first:], values, strict=False):
            switch.command(not switch.commanded if value == COIL_TOGGLE else bool(value), now_s)

    def obey_registers(self, address: int, values: Sequence[int], _: float) -> None:
        """Set the time-out."""
        if (address, len(values)) != (self.TIMEOUT, 1):
            refuse(ExceptionCode.ILLEGAL_ADDRESS)
        self._timeout_s = values[0]
