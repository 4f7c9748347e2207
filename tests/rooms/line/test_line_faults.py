"""Faults as people ask for them, and whom they befall. No wire."""

import msgspec
import pytest

from gateway.bench.answering import Answering, Spoken
from gateway.bench.faults import BACKFEED_V, FaultError, Faults, parse
from gateway.bench.meters import LineError, MeterEntry, MeterType
from gateway.bench.street import Street
from tests.rooms.bus.wire import framed

BOOT_S = 1000.0
READ_EXPORT = bytes.fromhex("03 0008 0002")
"""Of a DDS238-2: always nought, so that the same answer is due at any time."""
EXPORT = bytes.fromhex("03 04 0000 0000")


def meters(count: int) -> list[MeterEntry]:
    return [
        MeterEntry(type=MeterType.DDS238_2_ZN_SR, unit=unit, serial=f"H{unit}")
        for unit in range(1, count + 1)
    ]


def said(
    faults: Faults, *, seed: int = 0, requests: int = 1
) -> tuple[list[Spoken | None], Answering]:
    """What a line of one meter says to so many requests."""
    street = Street(meters(1), BOOT_S, seed)
    street.befall(faults)
    answering = Answering(street, seed)
    return [answering.answer(1, READ_EXPORT, BOOT_S) for _ in range(requests)], answering


class TestParse:
    @pytest.mark.parametrize(
        ("text", "serial", "faults"),
        [
            ("late=0.05,crc=0.01", None, Faults(late=0.05, crc=0.01)),
            ("crc", None, Faults(crc=1.0)),
            ("echo, noise = 1", None, Faults(echo=True, noise=1.0)),
            ("unplugged=0", None, Faults(unplugged=False)),
            ("H-1:dead", "H-1", Faults(dead=1.0)),
            ("H-1:dead=0,late=0.5", "H-1", Faults(dead=0.0, late=0.5)),
            ("H1:swapped=77,exchanged=H2", "H1", Faults(swapped="77", exchanged="H2")),
            (
                "late=1,late_ms=250,slow_ms=5,exception_code=4,backfeed_v=110",
                None,
                Faults(late=1.0, late_ms=250.0, slow_ms=5.0, exception_code=4, backfeed_v=110.0),
            ),
        ],
    )
    def test_words_become_faults(self, text: str, serial: str | None, faults: Faults) -> None:
        assert parse(text) == (serial, faults)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("frozen", "no fault frozen; name one of slow, late, mute"),
            ("", "no fault without a name"),
            ("crc,,late", "no fault without a name"),
            ("late=1.5", "late=1.5: give a share from 0 to 1, as 0.05"),
            ("late=-1", "late=-1: give a share"),
            ("late=often", "late=often: give a share"),
            ("late=null", "late=null: give a share"),
            ("late=", "late=: give a share"),
            ("late=nan", "late=nan: give a share"),
            ("late_ms", "late_ms needs a value: give milliseconds from 0 to 60000"),
            ("exception_code=256", "give a code from 1 to 255"),
            ("backfeed_v=1000", "give volts from 0 to 500"),
            ("echo=loud", "echo=loud: give 1 or 0"),
            ("H1:swapped", "swapped needs a value: give a serial number"),
            ("H1:swapped=#", "swapped=#: give a serial number"),
            ("crc=0.1,crc=0.2", "crc stands twice; leave one out"),
            ("swapped=77", "swapped befalls one meter: write SERIAL:swapped=77"),
            ("H1:echo", "echo befalls the line, not meter H1: leave the serial out"),
            ("H1:dead=0.3", "dead=0.3 for meter H1: of one meter it is so or not"),
        ],
    )
    def test_what_is_not_understood_is_told_with_its_mend(self, text: str, told: str) -> None:
        with pytest.raises(FaultError) as mistake:
            parse(text)
        assert told in str(mistake.value)


class TestWhomTheyBefall:
    def test_a_share_of_the_meters_is_drawn_once_and_grows(self) -> None:
        street = Street(meters(60), BOOT_S, seed=4)
        drawn = []
        for share in (0.05, 0.5, 1.0, 0.05):
            street.befall(Faults(dead=share))
            drawn.append({serial for serial, it in street.meters.items() if it.dead})
        assert [len(it) for it in drawn] == [3, 30, 60, 3]
        assert drawn[0] < drawn[1]
        assert drawn[3] == drawn[0]

    def test_another_seed_draws_others_and_each_fault_its_own(self) -> None:
        streets = [Street(meters(60), BOOT_S, seed) for seed in (1, 1, 2)]
        for street in streets:
            street.befall(Faults(dead=0.1, stuck=0.1))
        one, same, other = (
            ({s for s, it in street.meters.items() if it.dead}, street) for street in streets
        )
        assert one[0] == same[0] != other[0]
        assert one[0] != {s for s, it in one[1].meters.items() if it.switch.stuck}

    def test_a_small_share_of_few_meters_is_one_of_them(self) -> None:
        street = Street(meters(3), BOOT_S)
        street.befall(Faults(lies=0.01))
        assert sum(it.switch.lies for it in street.meters.values()) == 1

    def test_what_a_meter_is_told_overrides_the_line(self) -> None:
        entries = [msgspec.structs.replace(it, faults=Faults(late=0.0)) for it in meters(2)]
        street = Street([entries[0], meters(2)[1]], BOOT_S)
        street.befall(Faults(late=0.2, crc=0.1, dead=1))
        street.befall(Faults(dead=0), "H2")
        one, two = street.meters.values()
        assert (one.faults.late, one.faults.crc, one.dead) == (0.0, 0.1, True)
        assert (two.faults.late, two.faults.crc, two.dead) == (0.2, 0.1, False)
        street.clear("H1")
        assert (one.faults.late, one.dead) == (0.2, True)
        street.clear()
        assert one.faults.late is None
        assert not one.dead

    def test_backfeed_has_a_voltage(self) -> None:
        street = Street(meters(1), BOOT_S)
        for faults, volts in (
            (Faults(backfeed=1), BACKFEED_V),
            (Faults(backfeed_v=110), 110.0),
            (Faults(backfeed=0), 0.0),
        ):
            street.befall(faults)
            assert street.meters["H1"].truth(BOOT_S).backfeed_v == volts

    @pytest.mark.parametrize(
        ("own", "told"),
        [
            ({"H1": "H1"}, "exchanged: H1 can be with one other meter"),
            ({"H1": "H2", "H3": "H2"}, "exchanged: H2 can be with one other meter"),
            ({"H1": "H9"}, "no meter H9 on this line"),
        ],
    )
    def test_an_exchange_is_between_two_and_what_is_refused_changes_nothing(
        self, own: dict[str, str], told: str
    ) -> None:
        street = Street(meters(3), BOOT_S)
        *before, last = own.items()
        for serial, other in before:
            street.befall(Faults(exchanged=other), serial)
        stood = dict(street.slaves)
        with pytest.raises(LineError, match=told):
            street.befall(Faults(exchanged=last[1]), last[0])
        assert street.slaves == stood

    def test_an_exchange_can_be_told_of_both_and_ended(self) -> None:
        street = Street(meters(3), BOOT_S)
        one, two = street.slaves[1], street.slaves[2]
        street.befall(Faults(exchanged="H2"), "H1")
        street.befall(Faults(exchanged="H1"), "H2")
        assert (street.slaves[1], street.slaves[2]) == (two, one)
        street.clear()
        assert (street.slaves[1], street.slaves[2]) == (one, two)


class TestSingleAnswers:
    def test_without_faults_the_answer_comes_after_its_turnaround(self) -> None:
        (one,), answering = said(Faults())
        assert one == Spoken(after_s=0.020, data=framed(1, EXPORT))
        assert not any(msgspec.structs.astuple(answering.injected(echo=0, unplugged=0)))

    def test_one_seed_gives_one_run_and_another_a_different(self) -> None:
        faults = Faults(late=0.2, crc=0.3, truncated=0.1, doubled=0.1, noise=0.3, mute=0.1)
        one, _ = said(faults, requests=200)
        same, _ = said(faults, requests=200)
        other, _ = said(faults, requests=200, seed=1)
        assert one == same
        assert one != other

    def test_the_share_is_that_of_the_answers(self) -> None:
        heard, answering = said(Faults(crc=0.2), requests=1000)
        wrong = sum(it is not None and it.data != framed(1, EXPORT) for it in heard)
        assert wrong == answering.injected(echo=0, unplugged=0).crc
        assert 150 < wrong < 250

    def test_one_fault_more_leaves_the_others_where_they_were(self) -> None:
        crc, _ = said(Faults(crc=0.2), requests=100)
        both, _ = said(Faults(crc=0.2, late=0.2), requests=100)
        assert [it and it.data for it in crc] == [it and it.data for it in both]

    def test_a_late_answer_comes_before_the_time_out_or_after_it(self) -> None:
        heard, answering = said(Faults(late=1, late_ms=200), requests=200)
        begins_s = [it.after_s for it in heard if it is not None]
        assert 0.160 <= min(begins_s) < 0.180
        assert 0.300 < max(begins_s) <= 0.320
        assert any(it < 0.200 for it in begins_s)
        assert answering.injected(echo=0, unplugged=0).late == 200

    def test_a_slow_answer_comes_later_by_so_much(self) -> None:
        (one,), _ = said(Faults(slow=1, slow_ms=80))
        assert one is not None
        assert one.after_s == pytest.approx(0.100)

    def test_a_fault_that_another_hides_is_not_counted(self) -> None:
        everything = Faults(mute=1, busy=1, exception=1, crc=1, slow=1, late=1)
        (one,), answering = said(everything)
        assert one is None
        injected = answering.injected(echo=0, unplugged=0)
        assert (injected.mute, injected.busy, injected.crc, injected.late) == (1, 0, 0, 0)
        _, answering = said(msgspec.structs.replace(everything, mute=0.0))
        injected = answering.injected(echo=0, unplugged=0)
        assert (injected.busy, injected.exception, injected.late, injected.slow) == (1, 0, 1, 0)

    def test_noise_comes_also_where_nobody_answers(self) -> None:
        street = Street(meters(1), BOOT_S)
        street.befall(Faults(noise=1, dead=1))
        answering = Answering(street, 0)
        for unit in (1, 2):
            noise = answering.answer(unit, READ_EXPORT, BOOT_S)
            assert noise is not None
            assert 1 <= len(noise.data) <= 8
        injected = answering.injected(echo=0, unplugged=0)
        assert (injected.noise, injected.dead) == (2, 1)
