"""The simulated meters by themselves: register maps, switches, homes. No wire, time is given."""

import struct

import msgspec
import pytest

from gateway.bench.devices import Acrel, Meter
from gateway.bench.faults import Faults
from gateway.bench.house import MOVE_DELAY_S
from gateway.bench.meters import LineError, MeterEntry, MeterType, Position
from gateway.bench.slave import ModbusSlave
from gateway.bench.street import Street

ACREL = MeterEntry(type=MeterType.ACREL_DDSY1352, unit=1, serial="202301010001")
DDS238 = MeterEntry(type=MeterType.DDS238_2_ZN_SR, unit=5, serial="HK-5")
SDM230 = MeterEntry(
    type=MeterType.SDM230_RELAY, unit=9, serial="20239999", switch_unit=100, switch_channel=2
)
CHECK = MeterEntry(type=MeterType.EASTRON_SDM230, unit=30, serial="777")
BOOT_S = 1000.0
DELAY_S = MOVE_DELAY_S
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3


def put_up(entry: MeterEntry, **changes: object) -> Meter:
    changed = msgspec.structs.replace(entry, **changes)
    return Street([changed], BOOT_S).meters[changed.serial]


def registers(slave: ModbusSlave, address: int, count: int, now_s: float = BOOT_S) -> list[int]:
    answer = slave.respond(struct.pack(">BHH", 3, address, count), now_s)
    assert answer is not None
    assert answer[:2] == bytes((3, 2 * count))
    return list(struct.unpack(f">{count}H", answer[2:]))


def write(slave: ModbusSlave, address: int, *values: int, now_s: float = BOOT_S) -> bytes | None:
    count = len(values)
    request = struct.pack(f">BHHB{count}H", 16, address, count, 2 * count, *values)
    answer = slave.respond(request, now_s)
    return None if answer == request[:5] else answer


def floating(slave: ModbusSlave, address: int, now_s: float = BOOT_S) -> float:
    answer = slave.respond(struct.pack(">BHH", 4, address, 2), now_s)
    assert answer is not None
    return float(struct.unpack(">f", answer[2:])[0])


def l1_closed(acrel: Meter, now_s: float) -> bool:
    (status,) = registers(acrel, acrel.entry.status_address, 1, now_s)
    return bool(status >> 8 & 1 << 5)


class TestSwitch:
    def test_the_contact_follows_the_command_after_its_delay(self) -> None:
        meter = put_up(DDS238, state=Position.OPEN)
        assert write(meter, 0x001A, 1) is None
        assert not meter.truth(BOOT_S + DELAY_S / 2).closed
        assert meter.truth(BOOT_S + DELAY_S / 2).moves == 0
        after = meter.truth(BOOT_S + DELAY_S)
        assert after.closed
        assert after.moves == 1
        assert [(it.mono_ms, it.closed) for it in after.moved] == [(1_000_030, True)]

    def test_it_wears_only_when_it_moves(self) -> None:
        meter = put_up(DDS238, state=Position.CLOSED)
        for second, command in enumerate((1, 0, 0, 1, 1)):
            assert write(meter, 0x001A, command, now_s=BOOT_S + second) is None
        truth = meter.truth(BOOT_S + 10)
        assert truth.moves == 2
        assert len(truth.writes) == 5

    def test_a_stuck_one_stays_whatever_the_register_says(self) -> None:
        meter = put_up(DDS238, state=Position.OPEN)
        meter.switch.stuck = True
        assert write(meter, 0x001A, 1) is None
        assert registers(meter, 0x001A, 1, BOOT_S + 1) == [1]
        assert registers(meter, 0x000D, 1, BOOT_S + 1) == [0]
        assert meter.truth(BOOT_S + 1).moves == 0
        meter.switch.stuck = False
        assert write(meter, 0x001A, 1, now_s=BOOT_S + 2) is None
        assert meter.truth(BOOT_S + 3).closed


class TestMoves:
    @pytest.mark.parametrize(
        ("entry", "opening"),
        [
            (ACREL, "10 0057 0002 04 0001 0001"),
            (DDS238, "10 001a 0001 02 0000"),
            (SDM230, "05 0002 0000"),
        ],
    )
    def test_every_type_opens_wears_and_closes_again(self, entry: MeterEntry, opening: str) -> None:
        street = Street([entry], BOOT_S)
        slave = street.slaves[entry.switch_unit or entry.unit]
        assert slave.respond(bytes.fromhex(opening), BOOT_S) == bytes.fromhex(opening)[:5]
        (truth,) = street.truth(BOOT_S + 1)
        assert (truth.closed, truth.moves, truth.power_w) == (False, 1, 0.0)
        street.meters[entry.serial].utility_switches(True, BOOT_S + 2)
        (truth,) = street.truth(BOOT_S + 3)
        assert (truth.closed, truth.moves) == (True, 2)

    def test_one_that_is_stuck_closed_does_not_open(self) -> None:
        meter = put_up(DDS238, state=Position.CLOSED)
        meter.switch.stuck = True
        assert write(meter, 0x001A, 0) is None
        assert registers(meter, 0x001A, 1, BOOT_S + 1) == [0]
        assert meter.truth(BOOT_S + 1).closed
        assert registers(meter, 0x000D, 1, BOOT_S + 1)[0] > 100


class TestHome:
    def test_load_comes_back_at_a_multiple_and_settles(self) -> None:
        meter = put_up(DDS238, state=Position.OPEN, load_w=400)
        write(meter, 0x001A, 1)
        closed_s = BOOT_S + DELAY_S
        after_s = (0.5, 1.5, 2.5, 60.0, 3600.0)
        drawn = [meter.truth(closed_s + it).power_w for it in after_s]
        assert drawn == [2000.0, 1200.0, 800.0, 600.0, 400.0]

    def test_the_surge_can_be_scaled_in_height_and_in_time(self) -> None:
        meter = put_up(DDS238, state=Position.OPEN, load_w=400, pick_up=0.5, pick_up_time=2)
        write(meter, 0x001A, 1)
        closed_s = BOOT_S + DELAY_S
        drawn = [meter.truth(closed_s + it).power_w for it in (1.9, 3.9, 5.9, 1199.0, 1201.0)]
        assert drawn == [1200.0, 800.0, 600.0, 500.0, 400.0]
        calm = put_up(DDS238, state=Position.OPEN, load_w=400, pick_up=0)
        write(calm, 0x001A, 1)
        assert calm.truth(closed_s).power_w == 400.0

    def test_energy_is_the_load_over_time(self) -> None:
        meter = put_up(DDS238, state=Position.CLOSED, load_w=1000, energy_kwh=5.0)
        assert meter.truth(BOOT_S + 3600).energy_kwh == pytest.approx(6.0)
        write(meter, 0x001A, 0, now_s=BOOT_S + 3600)
        stopped = meter.truth(BOOT_S + 7200).energy_kwh
        assert stopped == pytest.approx(6.0, abs=1e-4)
        write(meter, 0x001A, 1, now_s=BOOT_S + 7200)
        # 5, 3 and 2 times the load for a second each, then 1.5 times until ten minutes are over.
        picked_up = (5 + 3 + 2 + 597 * 1.5) / 3600
        again = meter.truth(BOOT_S + 7200 + DELAY_S + 600).energy_kwh
        assert again - stopped == pytest.approx(picked_up, abs=1e-5)

    def test_energy_does_not_depend_on_how_often_it_is_read(self) -> None:
        seldom, often = put_up(DDS238), put_up(DDS238)
        for meter in (seldom, often):
            write(meter, 0x001A, 0, now_s=BOOT_S + 1)
            write(meter, 0x001A, 1, now_s=BOOT_S + 2)
        for tenth in range(100):
            often.truth(BOOT_S + tenth / 10)
        assert often.truth(BOOT_S + 10).energy_kwh == seldom.truth(BOOT_S + 10).energy_kwh

    def test_supply_stays_within_its_swing_and_differs_between_homes(self) -> None:
        one, other = put_up(DDS238), put_up(DDS238, serial="HK-6")
        voltages = [registers(one, 0x000C, 1, BOOT_S + it)[0] for it in range(60)]
        assert min(voltages) >= 2275
        assert max(voltages) <= 2325
        assert len(set(voltages)) > 10
        assert registers(one, 0x000C, 1) != registers(other, 0x000C, 1)


class TestAcrel:
    def test_identity_is_twelve_digits(self) -> None:
        assert registers(put_up(ACREL), 0x0043, 3) == [0x2023, 0x0101, 0x0001]
        assert registers(put_up(ACREL, serial="77"), 0x0043, 3) == [0, 0, 0x0077]
        swapped = put_up(ACREL, faults=Faults(swapped="202301010099"))
        assert registers(swapped, 0x0043, 3) == [0x2023, 0x0101, 0x0099]

    def test_identity_can_be_written_in_digits_only(self) -> None:
        meter = put_up(ACREL)
        assert write(meter, 0x0043, 0x2023, 0x0101, 0x000A) == bytes((0x90, ILLEGAL_VALUE))
        assert write(meter, 0x0043, 0x2023, 0x0101, 0x0005) is None
        assert meter.truth(BOOT_S).answers_serial == "202301010005"

    def test_energy_is_in_hundredths(self) -> None:
        high, low = registers(put_up(ACREL, energy_kwh=1234.56), 0x0000, 2)
        assert high << 16 | low == 123456

    def test_voltage_current_and_power_have_their_scales(self) -> None:
        volt, ampere, watt = registers(put_up(ACREL, load_w=460), 0x000B, 3)
        assert 2275 <= volt <= 2325
        assert ampere == round(46_000 / (volt / 10))
        assert watt == 460

    @pytest.mark.parametrize("credit", [True, False])
    def test_force_overrides_credit_until_released(self, credit: bool) -> None:
        meter = put_up(ACREL, state=Position.CLOSED if credit else Position.OPEN, credit=credit)
        assert meter.truth(BOOT_S).own_logic
        assert l1_closed(meter, BOOT_S) is credit
        against = (1, 1) if credit else (1, 0)
        assert write(meter, 0x0057, *against) is None
        assert l1_closed(meter, BOOT_S + 1) is not credit
        assert not meter.truth(BOOT_S + 1).own_logic
        assert registers(meter, 0x0057, 2, BOOT_S + 1) == list(against)
        assert write(meter, 0x0057, 0, 0x1234, now_s=BOOT_S + 2) is None
        assert l1_closed(meter, BOOT_S + 3) is credit
        assert meter.truth(BOOT_S + 3).own_logic

    def test_the_vending_system_cuts_by_credit_and_a_forced_close_outlives_it(self) -> None:
        meter = put_up(ACREL)
        meter.utility_switches(False, BOOT_S)
        assert not meter.truth(BOOT_S + 1).closed
        assert meter.truth(BOOT_S + 1).own_logic
        write(meter, 0x0057, 1, 0, now_s=BOOT_S + 1)
        assert meter.truth(BOOT_S + 2).closed
        write(meter, 0x0057, 0, 0, now_s=BOOT_S + 2)
        assert not meter.truth(BOOT_S + 3).closed

    def test_credit_moves_the_switch_unless_a_command_forces_it(self) -> None:
        street = Street([ACREL], BOOT_S)
        meter = street.meters[ACREL.serial]
        assert isinstance(meter, Acrel)
        meter.vend(False, BOOT_S)
        assert not meter.truth(BOOT_S + 1).closed
        meter.vend(True, BOOT_S + 1)
        assert meter.truth(BOOT_S + 2).closed
        write(meter, 0x0057, 1, 1, now_s=BOOT_S + 2)
        meter.vend(True, BOOT_S + 3)
        assert not meter.truth(BOOT_S + 4).closed
        write(meter, 0x0057, 0, 0, now_s=BOOT_S + 4)
        assert meter.truth(BOOT_S + 5).closed

    def test_a_state_against_its_credit_is_a_forced_one(self) -> None:
        assert registers(put_up(ACREL, state=Position.OPEN), 0x0057, 2) == [1, 1]
        assert registers(put_up(ACREL, credit=False), 0x0057, 2) == [1, 0]

    def test_the_status_word_is_where_the_site_says(self) -> None:
        meter = put_up(ACREL, status_address=0x0200)
        assert registers(meter, 0x0200, 1) == [0x2000]
        refused = bytes((0x83, ILLEGAL_ADDRESS))
        assert meter.respond(struct.pack(">BHH", 3, 0x0165, 1), BOOT_S) == refused


class TestDds238:
    def test_values_have_their_scales(self) -> None:
        meter = put_up(DDS238, load_w=460, energy_kwh=700.25)
        volt, ampere, watt = registers(meter, 0x000C, 3)
        assert 2275 <= volt <= 2325
        assert ampere == round(46_000 / (volt / 10))
        assert watt == 460
        assert registers(meter, 0x0011, 1) == [5000]
        assert registers(meter, 0x0000, 2) == registers(meter, 0x000A, 2) == [1, 70025 - 65536]
        assert registers(meter, 0x0008, 2) == [0, 0]

    def test_writing_nought_erases_the_energy(self) -> None:
        meter = put_up(DDS238)
        assert write(meter, 0x0000, 0, 0) is None
        assert registers(meter, 0x0000, 2) == [0, 0]

    @pytest.mark.parametrize(
        ("address", "values", "code"),
        [
            (0x001A, (2,), ILLEGAL_VALUE),
            (0x0000, (0, 1), ILLEGAL_VALUE),
            (0x000C, (0,), ILLEGAL_ADDRESS),
            (0x001A, (1, 1), ILLEGAL_ADDRESS),
        ],
    )
    def test_other_writes_are_refused_and_noted(
        self, address: int, values: tuple[int, ...], code: int
    ) -> None:
        meter = put_up(DDS238)
        assert write(meter, address, *values) == bytes((0x90, code))
        (noted,) = meter.truth(BOOT_S).writes
        assert (noted.address, noted.values, noted.refused) == (address, values, code)
        assert meter.truth(BOOT_S + 1).moves == 0


class TestCheckMeter:
    def test_it_measures_the_supply_that_is_set(self) -> None:
        meter = put_up(CHECK, load_w=46_000 / 5)
        assert 227 < floating(meter, 0x0000) < 233
        meter.home.set_supply(200.0)
        assert (floating(meter, 0x0000), floating(meter, 0x0006)) == (200.0, 46.0)
        meter.home.set_supply(0.0)
        assert (floating(meter, 0x0000), floating(meter, 0x0006)) == (0.0, 0.0)
        meter.home.set_supply(None)
        assert 227 < floating(meter, 0x0000) < 233

    def test_it_has_no_switch(self) -> None:
        with pytest.raises(LineError, match="serial 777: its type has no switch"):
            put_up(CHECK).utility_switches(False, BOOT_S)


@pytest.mark.parametrize(
    ("entry", "unit", "request_hex", "code"),
    [
        (ACREL, 1, "04 0000 0002", ILLEGAL_FUNCTION),
        (ACREL, 1, "06 0057 0001", ILLEGAL_FUNCTION),
        (DDS238, 5, "06 001a 0001", ILLEGAL_FUNCTION),
        (DDS238, 5, "05 0000 ff00", ILLEGAL_FUNCTION),
        (SDM230, 9, "10 fc00 0001 02 0000", ILLEGAL_FUNCTION),
        (CHECK, 30, "05 0000 0000", ILLEGAL_FUNCTION),
        (SDM230, 100, "03 0000 0001", ILLEGAL_FUNCTION),
        (SDM230, 100, "2b", ILLEGAL_FUNCTION),
        (ACREL, 1, "03 0010 0002", ILLEGAL_ADDRESS),
        (SDM230, 100, "01 0000 0009", ILLEGAL_ADDRESS),
        (SDM230, 100, "05 0008 ff00", ILLEGAL_ADDRESS),
        (SDM230, 100, "0f 0007 0002 01 03", ILLEGAL_ADDRESS),
        (ACREL, 1, "03 0000 0000", ILLEGAL_VALUE),
        (ACREL, 1, "03 0000 007e", ILLEGAL_VALUE),
        (ACREL, 1, "03", ILLEGAL_VALUE),
        (ACREL, 1, "10 0057 0002 04 0002 0000", ILLEGAL_VALUE),
        (ACREL, 1, "10 0057 0002 04 0001 0002", ILLEGAL_VALUE),
        (ACREL, 1, "10 0057 0002 02 0001", ILLEGAL_VALUE),
        (ACREL, 1, "10 0057 0002", ILLEGAL_VALUE),
        (SDM230, 100, "05 0000 1234", ILLEGAL_VALUE),
        (SDM230, 100, "0f 0000 0009 01 ff", ILLEGAL_VALUE),
    ],
)
def test_exceptions(entry: MeterEntry, unit: int, request_hex: str, code: int) -> None:
    request = bytes.fromhex(request_hex)
    slave = Street([entry], BOOT_S).slaves[unit]
    assert slave.respond(request, BOOT_S) == bytes((request[0] | 0x80, code))


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([DDS238, msgspec.structs.replace(DDS238, serial="X")], "meter 1: unit 5 is taken"),
        ([DDS238, msgspec.structs.replace(DDS238, unit=6)], "meter 1: serial HK-5 is taken"),
        ([msgspec.structs.replace(ACREL, serial="A1")], "meter 0: serial A1"),
        ([msgspec.structs.replace(ACREL, faults=Faults(swapped="1" * 13))], "1 to 12 digits"),
        ([msgspec.structs.replace(SDM230, serial="4294967296")], "below 4294967296"),
        (
            [msgspec.structs.replace(SDM230, switch_unit=None)],
            "needs switch_unit and switch_channel",
        ),
        ([msgspec.structs.replace(SDM230, switch_unit=9)], "meter 0: unit 9 is taken"),
        (
            [msgspec.structs.replace(CHECK, state=Position.OPEN)],
            "meter 0: eastron-sdm230 has no switch",
        ),
        ([msgspec.structs.replace(CHECK, switch_unit=3)], "needs switch_unit and switch_channel"),
        (
            [msgspec.structs.replace(ACREL, switch_unit=3)],
            "leave switch_unit and switch_channel out",
        ),
        (
            [SDM230, msgspec.structs.replace(SDM230, unit=10, serial="1")],
            "meter 1: channel 2 of board 100 is taken",
        ),
    ],
)
def test_what_cannot_stand_on_one_line_is_refused(entries: list[MeterEntry], told: str) -> None:
    with pytest.raises(LineError, match=told):
        Street(entries, BOOT_S)
