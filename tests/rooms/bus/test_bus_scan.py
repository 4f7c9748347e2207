"""A scan over a pseudo terminal: who is found, what is asked, and that nothing is ever written."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from gateway.bus.corrections import Correction, Proposal, entries_of, proposals
from gateway.bus.device import devices_on
from gateway.bus.frame import READS
from gateway.bus.inquiry import Presence, Questions
from gateway.bus.port import BusSettings, SerialPort
from gateway.bus.profile import Profile, load_profiles
from gateway.bus.scan import Heard, Progress, duration_s, scan
from gateway.core.model import Meter
from gateway.host.clock import HostClock, boot_id
from tests.rooms.bus.gateway_side import paid_image
from tests.rooms.bus.small_town import DDS, SDM
from tests.rooms.bus.wire import Behaviour, OtherEnd, Slave, Speech, framed, slaves, words

QUICK = """
extends = "acrel-ddsy1352"
[timing]
timeout_ms = 40
turnaround_max_ms = 20
[state]
address = 0x0165
"""


def numbered(serial: str, unit: int) -> Meter:
    return Meter(
        account=f"A{unit}", serial=serial, profile="acrel-quick", bus="A", unit=unit, dt="D"
    )


def acrel(serial: str) -> Slave:
    digits = bytes.fromhex(serial)
    number = {0x43 + at: int.from_bytes(digits[2 * at : 2 * at + 2], "big") for at in range(3)}
    return Slave({3: {**number, 0x0B: 2300, 0x0C: 0, 0x165: 0x0400}})


def sdm(serial: str) -> Slave:
    high, low = divmod(int(serial), 1 << 16)
    return Slave({3: {0xFC00: high, 0xFC01: low}, 4: {}})


ONE, TWO, THREE, STRANGER = "220315000001", "220315000002", "220315000003", "990000000009"


@dataclass
class Scanned:
    """What a scan needs and gives."""

    end: OtherEnd
    profiles: dict[str, Profile]
    meters: tuple[Meter, ...]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    told: list[Progress] = field(default_factory=list)

    @property
    def settings(self) -> BusSettings:
        return BusSettings(name="A", port=self.end.path)

    @property
    def questions(self) -> Questions:
        image = paid_image(self.meters, self.profiles)
        return Questions(devices_on("A", image, self.profiles), self.profiles)

    async def scan(self, units: Sequence[int], *speeds: BusSettings) -> Heard:
        heard = await scan(
            speeds or (self.settings,),
            units,
            self.questions,
            clock=HostClock(boot_id(), 0),
            stop=self.stop,
            tell=self.told.append,
        )
        assert {request[1] for request in self.end.requests} <= READS
        return heard

    async def proposed(self, units: Sequence[int]) -> tuple[Proposal, ...]:
        heard = await self.scan(units)
        image = paid_image(self.meters, self.profiles)
        entries = entries_of(image, self.profiles)
        return proposals(heard.found, heard.silent, entries, self.settings)


@contextlib.asynccontextmanager
async def line(tmp_path: Path, behaviour: Behaviour, *meters: Meter) -> AsyncIterator[Scanned]:
    (tmp_path / "acrel-quick.toml").write_text(QUICK, encoding="utf-8")
    end = OtherEnd(behaviour)
    try:
        yield Scanned(end, load_profiles(tmp_path), meters)
    finally:
        with contextlib.suppress(OSError):
            end.close()


async def test_a_line_that_is_as_the_roster_has_it_needs_no_correction(tmp_path: Path) -> None:
    units = {1: acrel(ONE), 2: acrel(TWO)}
    meters = (numbered(ONE, 1), numbered(TWO, 2))
    async with line(tmp_path, slaves(units), *meters) as it:
        assert await it.proposed((1, 2, 3)) == ()
        assert [(told.unit, told.done, told.total) for told in it.told] == [
            (1, 0, 3),
            (2, 1, 3),
            (3, 2, 3),
        ]


async def test_who_moved_is_unknown_or_missing_is_proposed(tmp_path: Path) -> None:
    units = {1: acrel(ONE), 6: acrel(TWO), 8: acrel(STRANGER)}
    meters = (numbered(ONE, 1), numbered(TWO, 4), numbered(THREE, 7))
    async with line(tmp_path, slaves(units), *meters) as it:
        found = await it.proposed(range(1, 10))
    assert [(one.correction, one.unit, one.serial) for one in found] == [
        (Correction.MOVED, 4, TWO),
        (Correction.NOBODY, 7, THREE),
        (Correction.UNKNOWN, 8, STRANGER),
    ]
    assert f"meter {TWO} answers at unit 6, the roster has 4" in found[0].words


async def test_a_meter_that_was_exchanged_is_proposed(tmp_path: Path) -> None:
    async with line(tmp_path, slaves({1: acrel(STRANGER)}), numbered(ONE, 1)) as it:
        (found,) = await it.proposed((1, 2))
    assert (found.correction, found.unit, found.serial) == (Correction.EXCHANGED, 1, ONE)
    assert f"serial {STRANGER} answers there" in found.words


async def test_answers_that_cannot_be_read_are_two_at_one_address(tmp_path: Path) -> None:
    obeying = slaves({1: acrel(ONE)})

    def collide(request: bytes) -> Speech:
        return [(0, b"\x05\x03\xa7\x11\x5c")] if request[0] == 5 else obeying(request)

    async with line(tmp_path, collide, numbered(ONE, 1), numbered(TWO, 5)) as it:
        (found,) = await it.proposed((1, 4, 5))
    assert (found.correction, found.unit) == (Correction.CROWDED, 5)
    assert "two devices with this address" in found.words


async def test_two_numbers_at_one_address_are_two_meters(tmp_path: Path) -> None:
    numbers = [acrel(ONE), acrel(TWO)]

    def by_turns(request: bytes) -> Speech:
        if request[0] != 1:
            return ()
        numbers.reverse()
        return slaves({1: numbers[0]})(request)

    async with line(tmp_path, by_turns, numbered(ONE, 1)) as it:
        heard = await it.scan((1, 2))
    assert [one.presence for one in heard.found] == [Presence.CROWDED]


async def test_a_single_garbled_answer_is_asked_for_again(tmp_path: Path) -> None:
    obeying, garbled = slaves({1: acrel(ONE)}), 0

    def once_garbled(request: bytes) -> Speech:
        nonlocal garbled
        garbled += 1
        return [(0, b"\x01\x03\x99")] if garbled == 1 else obeying(request)

    async with line(tmp_path, once_garbled, numbered(ONE, 1)) as it:
        heard = await it.scan((1,))
    assert [(one.presence, one.serial) for one in heard.found] == [(Presence.ANSWERS, ONE)]


async def test_a_type_without_a_number_and_a_relay_board_are_known_by_their_answers(
    tmp_path: Path,
) -> None:
    relay = Slave({3: {0x1A: 1, 0x0C: 2300, 0x0D: 0}})
    meter = sdm(SDM.serial)
    board = Slave({2: dict.fromkeys(range(8), 0)})
    async with line(tmp_path, slaves({2: relay, 3: meter, 40: board}), DDS, SDM) as it:
        assert await it.proposed((2, 3, 40)) == ()


async def test_a_type_without_a_number_is_not_given_one_from_anothers_register(
    tmp_path: Path,
) -> None:
    # Its energy registers stand where other types have their serial number.
    energy = {at: at + 7 for at in range(0x12)}
    relay = Slave({3: {**energy, 0x1A: 1}})
    async with line(tmp_path, slaves({2: relay, 9: relay}), DDS) as it:
        heard = await it.scan((2, 9))
    assert [(one.unit, one.serial, one.profile) for one in heard.found] == [
        (2, None, DDS.profile),
        (9, None, DDS.profile),
    ]


async def test_a_silent_relay_board_is_named_with_its_meters(tmp_path: Path) -> None:
    meter = sdm(SDM.serial)
    async with line(tmp_path, slaves({3: meter}), SDM) as it:
        (found,) = await it.proposed((3, 40))
    assert (found.correction, found.unit) == (Correction.NOBODY, 40)
    assert f"relay board of {SDM.serial}" in found.words


async def test_on_an_echoing_line_nobody_is_nobody(tmp_path: Path) -> None:
    async with line(tmp_path, slaves({1: acrel(ONE)}), numbered(ONE, 1)) as it:
        it.end.echo = True
        heard = await it.scan((3, 2, 1))
    assert [(one.unit, one.serial) for one in heard.found] == [(1, ONE)]
    assert heard.silent == {2, 3}


async def test_a_stopped_scan_ends_after_the_exchange_in_flight(tmp_path: Path) -> None:
    async with line(tmp_path, slaves({1: acrel(ONE)}), numbered(ONE, 1)) as it:
        scanning = asyncio.create_task(it.scan(range(1, 248)))
        await it.end.requested(lambda request: request[0] == 3)
        sent = len(it.end.requests)
        it.stop.set()
        heard = await scanning
        assert len(it.end.requests) == sent
    assert not heard.complete
    assert [one.serial for one in heard.found] == [ONE]
    assert heard.silent == {2, 3}


async def test_who_was_found_at_one_speed_is_not_asked_at_the_next(tmp_path: Path) -> None:
    async with line(tmp_path, slaves({1: acrel(ONE)}), numbered(ONE, 1)) as it:
        faster = msgspec.structs.replace(it.settings, baud=19200)
        heard = await it.scan((1, 2), it.settings, faster)
        asked = [request[0] for request in it.end.requests]
    assert [(one.unit, one.baud) for one in heard.found] == [(1, 9600)]
    assert heard.silent == {2}
    assert asked == sorted(asked)
    assert (it.told[-1].done, it.told[-1].total) == (3, 4)


async def test_a_parity_that_the_port_refuses_is_said_before_the_first_address(
    tmp_path: Path,
) -> None:
    async with line(tmp_path, slaves({}), numbered(ONE, 1)) as it:
        even = msgspec.structs.replace(it.settings, format="8E1")
        with pytest.raises(OSError, match="a pseudo terminal does not"):
            await it.scan((1,), it.settings, even)
        assert it.end.requests == []


async def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    async with line(tmp_path, slaves({})) as it:
        port = SerialPort.open(it.settings, lambda: None)
        with pytest.raises(OSError, match="another program has it open"):
            await it.scan((1,))
        port.close()


async def test_an_adapter_that_is_unplugged_ends_the_scan(tmp_path: Path) -> None:
    async with line(tmp_path, slaves({}), numbered(ONE, 1)) as it:
        scanning = asyncio.create_task(it.scan(range(1, 248)))
        await it.end.requested(lambda request: request[0] == 2)
        it.end.close()
        with pytest.raises(OSError, match="the port is lost"):
            await scanning


async def test_what_the_site_has_is_asked_first(tmp_path: Path) -> None:
    async with line(tmp_path, slaves({}), numbered(ONE, 1)) as it:
        questions = it.questions
        assert [one.profile for one in questions.here(1)] == ["acrel-quick"] * 3
        assert [one.profile for one in questions.numbers_of_site(9)] == ["acrel-quick"]
        others = questions.numbers_of_others(9)
        assert {one.request.unit for one in others} == {9}
        assert len({(one.request, one.coding) for one in others}) == len(others) > 1
        assert [one.profile for one in questions.opening(9)] == ["acrel-quick"]
        assert 0 < duration_s((it.settings,), (9,), questions) < 1


async def test_without_a_roster_every_type_is_asked_for(tmp_path: Path) -> None:
    async with line(tmp_path, slaves({4: acrel(ONE)})) as it:
        assert len(it.questions.opening(9)) > 3
        heard = await it.scan((4,))
    assert [(one.unit, one.serial) for one in heard.found] == [(4, ONE)]


async def test_frames_of_another_unit_are_nobodys_number(tmp_path: Path) -> None:
    def answers_as_another(request: bytes) -> Speech:
        return [(0, framed(77, 3, 2, words(1)))] if request[0] == 1 else ()

    async with line(tmp_path, answers_as_another, numbered(ONE, 1)) as it:
        heard = await it.scan((1, 2))
    assert [(one.unit, one.presence) for one in heard.found] == [(1, Presence.CROWDED)]
