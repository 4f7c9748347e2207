"""A relay board known from a single source: written where the site document permits its type."""

from pathlib import Path

import msgspec
import pytest

from gateway.bus.device import device_of
from gateway.bus.profile import load_profiles
from gateway.core.fact import Outcome
from gateway.core.image import Image, restored
from tests.rooms.bus.gateway_side import command
from tests.rooms.bus.small_town import COIL_ON, DDS, SDM, town

WEAK = """extends = "sdm230-relay8"
[close]
evidence = "single-source"
[open]
evidence = "single-source"
"""
OURS = msgspec.structs.replace(SDM, profile="our-board")


def permitting(image: Image, *profiles: str) -> Image:
    assert image.kept.site is not None
    site = msgspec.structs.replace(image.kept.site, unproven_profiles=profiles)
    return restored(image, msgspec.structs.replace(image.kept, site=site))


async def test_it_is_never_written_without_a_permission(tmp_path: Path) -> None:
    (tmp_path / "our-board.toml").write_text(WEAK, encoding="utf-8")
    async with town(tmp_path, OURS) as it:
        report = await it.report(command(OURS))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "SWITCH_UNPROVEN")
        assert it.board.writes == []


async def test_it_is_closed_under_a_permission_and_read_back_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "our-board.toml").write_text(WEAK, encoding="utf-8")
    async with town(tmp_path, OURS) as it:
        it.buses.show(permitting(it.image, OURS.profile))
        report = await it.report(command(OURS))
        assert report.outcome is Outcome.CLOSED_VERIFIED
        assert it.board.writes == [COIL_ON]


async def test_a_permission_for_another_type_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / "our-board.toml").write_text(WEAK, encoding="utf-8")
    async with town(tmp_path, OURS, DDS) as it:
        it.buses.show(permitting(it.image, DDS.profile))
        report = await it.report(command(OURS))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "SWITCH_UNPROVEN")
        assert it.board.writes == []


@pytest.mark.parametrize(
    ("profile", "channel", "asked"),
    [("sdm230-relay8", 7, True), ("sdm230-relay8", 8, False), ("sdm230-wb-mr6c", 6, False)],
)
def test_a_channel_beyond_the_board_is_nobodys(profile: str, channel: int, asked: bool) -> None:
    # A site document in force stays so when a profile is changed: it is not checked again.
    meter = msgspec.structs.replace(SDM, profile=profile, switch_channel=channel)
    assert (device_of(meter, load_profiles(None)) is not None) is asked
