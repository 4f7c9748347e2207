"""The relay boards by themselves, and the meters behind their contactors. Time is given."""

import struct

import msgspec
import pytest

from gateway.bench.devices import Meter
from gateway.bench.house import MOVE_DELAY_S
from gateway.bench.meters import BoardType, LineError, MeterEntry, MeterType, Position
from gateway.bench.slave import ModbusSlave
from gateway.bench.street import Street
from tests.rooms.line.lines import SDM230

BOOT_S = 1000.0
DELAY_S = MOVE_DELAY_S
ON, OFF = bytes.fromhex("050002ff00"), bytes.fromhex("0500020000")
COILS, INPUTS = bytes.fromhex("0100000008"), bytes.fromhex("0200000008")
MR6C = msgspec.structs.replace(SDM230, board=BoardType.WB_MR6C, board_drops=True)
TIMEOUT = bytes.fromhex("0300080001")


def put_up(entry: MeterEntry, **changes: object) -> tuple[Meter, ModbusSlave]:
    street = Street([msgspec.structs.replace(entry, **changes)], BOOT_S)
    return street.meters[entry.serial], street.slaves[100]


def registers(slave: ModbusSlave, address: int, count: int) -> list[int]:
    answer = slave.respond(struct.pack(">BHH", 3, address, count), BOOT_S)
    assert answer is not None
    return list(struct.unpack(f">{count}H", answer[2:]))


def floating(slave: ModbusSlave, address: int, now_s: float = BOOT_S) -> float:
    answer = slave.respond(struct.pack(">BHH", 4, address, 2), now_s)
    assert answer is not None
    return float(struct.unpack(">f", answer[2:])[0])


class TestSdm230AndBoard:
    def test_serial_is_32_bits(self) -> None:
        meter, _ = put_up(SDM230)
        high, low = registers(meter, 0xFC00, 2)
        assert high << 16 | low == 20239999

    def test_it_measures_behind_the_contactor(self) -> None:
        meter, board = put_up(SDM230)
        assert 227 < floating(meter, 0x0000) < 233
        assert floating(meter, 0x000C) == 300.0
        volt, ampere = floating(meter, 0x0000), floating(meter, 0x0006)
        assert volt * ampere == pytest.approx(300.0, rel=1e-5)
        assert floating(meter, 0x0046) == 50.0
        assert floating(meter, 0x0048) == floating(meter, 0x0156) == 1000.0
        assert floating(meter, 0x004A) == 0.0
        board.respond(OFF, BOOT_S)
        for address in (0x0000, 0x0006, 0x000C, 0x0046):
            assert floating(meter, address, BOOT_S + 1) == 0.0

    def test_coils_are_commands_and_inputs_are_contacts(self) -> None:
        _, board = put_up(SDM230, state=Position.OPEN)
        assert board.respond(ON, BOOT_S) == ON
        assert board.respond(COILS, BOOT_S) == bytes((1, 1, 0b100))
        assert board.respond(INPUTS, BOOT_S) == bytes((2, 1, 0))
        assert board.respond(INPUTS, BOOT_S + DELAY_S) == bytes((2, 1, 0b100))

    def test_many_coils_at_once(self) -> None:
        meter, board = put_up(SDM230, state=Position.OPEN)
        answer = board.respond(bytes.fromhex("0f00010003 01 06"), BOOT_S)
        assert answer == bytes.fromhex("0f00010003")
        assert board.respond(COILS, BOOT_S) == bytes((1, 1, 0b1100))
        (noted,) = meter.truth(BOOT_S).writes
        assert (noted.unit, noted.function, noted.values) == (100, 15, (0, 1, 1))

    def test_the_toggle_turns_over(self) -> None:
        meter, board = put_up(SDM230)
        toggle = bytes.fromhex("0500025500")
        assert board.respond(toggle, BOOT_S) == toggle
        assert not meter.truth(BOOT_S + 1).closed
        board.respond(toggle, BOOT_S + 1)
        assert meter.truth(BOOT_S + 2).closed

    def test_a_stuck_contactor_shows_at_its_input_only(self) -> None:
        meter, board = put_up(SDM230, state=Position.OPEN)
        meter.switch.stuck = True
        board.respond(ON, BOOT_S)
        assert board.respond(COILS, BOOT_S + 1) == bytes((1, 1, 0b100))
        assert board.respond(INPUTS, BOOT_S + 1) == bytes((2, 1, 0))

    def test_a_dead_meter_leaves_the_board_alive(self) -> None:
        meter, board = put_up(SDM230)
        meter.dead = True
        assert meter.respond(struct.pack(">BHH", 3, 0xFC00, 2), BOOT_S) is None
        assert board.respond(COILS, BOOT_S) == bytes((1, 1, 0b100))

    def test_any_meter_without_a_switch_can_stand_behind_a_contactor(self) -> None:
        other = msgspec.structs.replace(SDM230, type=MeterType.NOARK_EX9EM, state=Position.OPEN)
        meter, board = put_up(other)
        assert registers(meter, 0x0000, 1) == [0]
        board.respond(ON, BOOT_S - 1)
        assert 2275 <= registers(meter, 0x0000, 1)[0] <= 2325


class TestMr6c:
    def test_its_relays_drop_when_nobody_asks_it_any_more(self) -> None:
        meter, board = put_up(MR6C)
        for second in (9, 18, 27):
            assert board.respond(bytes.fromhex("0100000006"), BOOT_S + second) == bytes((1, 1, 4))
        assert meter.truth(BOOT_S + 36).closed
        assert board.respond(bytes.fromhex("0100000006"), BOOT_S + 37.5) == bytes((1, 1, 0))
        truth = meter.truth(BOOT_S + 38)
        assert not truth.closed
        (move,) = truth.moved
        assert move.mono_ms == round(1000 * (BOOT_S + 37 + DELAY_S))

    def test_what_is_really_the_case_is_known_without_asking_it(self) -> None:
        street = Street([MR6C], BOOT_S)
        assert street.truth(BOOT_S + 9)[0].closed
        assert not street.truth(BOOT_S + 11)[0].closed

    def test_it_drops_nothing_unless_it_is_commissioned_so(self) -> None:
        meter, board = put_up(MR6C, board_drops=False)
        assert board.respond(TIMEOUT, BOOT_S + 99) == bytes((3, 2, 0, 10))
        assert meter.truth(BOOT_S + 999).closed

    def test_its_time_out_can_be_set_and_taken_off(self) -> None:
        meter, board = put_up(MR6C)
        longer, never = bytes.fromhex("0600080014"), bytes.fromhex("1000080001020000")
        assert board.respond(longer, BOOT_S) == longer
        assert board.respond(TIMEOUT, BOOT_S + 19) == bytes((3, 2, 0, 20))
        assert board.respond(never, BOOT_S + 20) == never[:5]
        assert board.respond(TIMEOUT, BOOT_S + 999) == bytes((3, 2, 0, 0))
        assert meter.truth(BOOT_S + 999).closed

    @pytest.mark.parametrize(
        ("request_hex", "code"), [("0600090001", 2), ("06000800", 3), ("0500060000", 2)]
    )
    def test_what_it_does_not_take_it_refuses(self, request_hex: str, code: int) -> None:
        _, board = put_up(MR6C)
        request = bytes.fromhex(request_hex)
        assert board.respond(request, BOOT_S) == bytes((request[0] | 0x80, code))

    def test_a_plain_board_has_no_registers(self) -> None:
        _, board = put_up(SDM230, board_drops=True)
        assert board.respond(TIMEOUT, BOOT_S) == bytes((0x83, 1))


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([msgspec.structs.replace(MR6C, switch_channel=6)], "meter 0: wb-mr6c has no channel 6"),
        (
            [SDM230, msgspec.structs.replace(MR6C, unit=10, serial="1", switch_channel=3)],
            "meter 1: board 100 is relay8 elsewhere: say the same",
        ),
        ([msgspec.structs.replace(SDM230, switch_channel=None)], "needs switch_unit and"),
    ],
)
def test_what_cannot_stand_on_one_board_is_refused(entries: list[MeterEntry], told: str) -> None:
    with pytest.raises(LineError, match=told):
        Street(entries, BOOT_S)
