"""The bundled profiles against the simulated meters: two readings of the same public sources."""

from pathlib import Path

import msgspec
import pytest

from gateway.bench.meters import BoardType, MeterEntry, MeterType, Position
from gateway.bench.street import Street
from gateway.bus.device import Device
from gateway.bus.frame import Answer, Request, answer_in, encode
from gateway.bus.profile import load_profiles
from gateway.bus.reading import (
    Quantities,
    identity_read,
    quantities_of,
    serial_of,
    state_of,
    state_read,
    value_reads,
    writes_of,
)
from gateway.core.model import Serial, SupplyState
from tests.rooms.bus.wire import framed

BOOT_S = 1000.0
ON_BOARDS = {
    "sdm230-relay8": BoardType.RELAY8,
    "sdm230-relay8-coils": BoardType.RELAY8,
    "sdm230-relay8-base1": BoardType.RELAY8_BASE1,
    "sdm230-relay8-base16": BoardType.RELAY8_BASE16,
    "sdm230-wb-mr6c": BoardType.WB_MR6C,
}
ALSO = {"accuenergy-ev300-contact": MeterType.ACCUENERGY_EV300}
STATUS_WORD = 0x0165
PROFILES = load_profiles(None)
MEASURED_ELSEWHERE = {"acrel-dtsy1352": ("voltage_mv", "current_ma", "power_w")}
"""What no public source places, so that the profile leaves it out."""


def put_up(name: str) -> tuple[Street, Device]:
    """A simulated meter of the profile's type, open where it can be, and the gateway's view."""
    board = ON_BOARDS.get(name)
    kind = MeterType.SDM230_RELAY if board else ALSO.get(name) or MeterType(name)
    profile = PROFILES[name]
    if profile.state is not None and profile.state.address is None:
        profile = msgspec.structs.replace(
            profile, state=msgspec.structs.replace(profile.state, address=STATUS_WORD)
        )
    entry = MeterEntry(
        type=kind,
        unit=7,
        serial="123456789012" if kind.startswith("acrel") else "12345678",
        state=Position.CLOSED if profile.close is None else Position.OPEN,
        load_w=690,
        pick_up=0,
        switch_unit=100 if board else None,
        switch_channel=2 if board else None,
        board=board or BoardType.RELAY8,
        status_address=STATUS_WORD,
    )
    street = Street([entry], BOOT_S)
    street.meters[entry.serial].home.set_supply(230.0)
    device = Device(
        serial=Serial(entry.serial),
        profile=profile,
        unit=7,
        switch_unit=entry.switch_unit,
        switch_channel=entry.switch_channel,
    )
    return street, device


def asked(street: Street, request: Request, now_s: float) -> tuple[int, ...]:
    """What the gateway makes of the simulated meter's answer."""
    pdu = street.slaves[request.unit].respond(encode(request)[1:-2], now_s)
    assert pdu is not None
    answer = answer_in(framed(request.unit, pdu), request)
    assert isinstance(answer, Answer), f"{request}: {answer}"
    return answer.values


def position(street: Street, device: Device, now_s: float) -> SupplyState:
    request = state_read(device)
    assert request is not None
    return state_of(device.profile, asked(street, request, now_s)[0])


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_finds_what_the_simulated_meter_has(name: str) -> None:
    street, device = put_up(name)
    now_s = BOOT_S
    if device.profile.close is not None:
        assert position(street, device, now_s) is SupplyState.DISCONNECTED
        for write in writes_of(device, device.profile.close):
            asked(street, write, now_s)
        now_s += 1
        assert position(street, device, now_s) is SupplyState.CONNECTED
    if (identity := identity_read(device)) is not None:
        assert device.profile.identity is not None
        assert serial_of(device.profile.identity, asked(street, identity, now_s)) == device.serial
    seen = Quantities()
    for read in value_reads(device):
        seen = seen.with_newer(
            quantities_of(device.profile, read, asked(street, read.request, now_s))
        )
    phases = street.meters[device.serial].map.phases
    expected = {"voltage_mv": 230_000, "current_ma": 3000 // phases, "power_w": 690}
    for quantity in MEASURED_ELSEWHERE.get(name, ()):
        assert getattr(seen, quantity) is None
        del expected[quantity]
    assert {quantity: getattr(seen, quantity) for quantity in expected} == expected
    assert seen.energy_wh == pytest.approx(1_000_000, abs=100)
    if device.profile.open is not None:
        for write in writes_of(device, device.profile.open):
            asked(street, write, now_s)
        assert position(street, device, now_s + 1) is SupplyState.DISCONNECTED


def test_every_bundled_profile_has_a_simulated_meter(tmp_path: Path) -> None:
    simulated = {*(it.value for it in MeterType), *ON_BOARDS, *ALSO}
    assert set(PROFILES) <= simulated
    assert set(MeterType) - set(PROFILES) == {MeterType.SDM230_RELAY}
