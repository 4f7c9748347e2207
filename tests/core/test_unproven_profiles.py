"""A type known from a single source: it is switched where the site document says so, else never."""

import msgspec

from gateway.core.documents import Site
from gateway.core.model import ProfileAbility, Reading, SupplyState
from gateway.core.reconnection import Verdict
from tests.core.cutting import lit
from tests.core.papers import M1, STATION, cut
from tests.core.world import World, dark_and_paid
from tests.signing import sign_site

PROVEN = STATION.profiles[M1.profile]
UNPROVEN = ProfileAbility(switches=False, proves_serial=True, trusting=PROVEN)
SEEN_OPEN = Reading(state=SupplyState.DISCONNECTED, mono_ms=0, serial=M1.serial)


def drives(world: World, ability: ProfileAbility) -> World:
    """The station knows M1's type so well."""
    profiles = {**STATION.profiles, M1.profile: ability}
    station = msgspec.structs.replace(STATION, profiles=profiles)
    world.image = msgspec.structs.replace(world.image, station=station)
    return world


def permits(world: World, *profiles: str) -> str:
    """A site document comes that takes a single source for enough; the answer's word."""
    before = world.image.kept.site
    assert isinstance(before, Site)
    after = msgspec.structs.replace(before, seq=before.seq + 1, unproven_profiles=profiles)
    return world.hand_in(sign_site(after))


def test_it_is_not_closed_as_long_as_the_site_document_says_nothing() -> None:
    world = drives(dark_and_paid(M1), UNPROVEN)
    assert world.rules().verdict is Verdict.SWITCH_UNPROVEN
    assert world.may_write(SEEN_OPEN) is Verdict.SWITCH_UNPROVEN


def test_it_is_closed_where_the_site_document_says_so() -> None:
    world = drives(dark_and_paid(M1), UNPROVEN)
    assert permits(world, M1.profile) == "ACCEPTED"
    assert world.rules().verdict is Verdict.PERMIT
    assert world.may_write(SEEN_OPEN) is Verdict.PERMIT


def test_a_permission_that_is_taken_back_stops_a_close_on_its_way() -> None:
    world = drives(dark_and_paid(M1), UNPROVEN)
    permits(world, M1.profile)
    permits(world)
    assert world.may_write(SEEN_OPEN) is Verdict.SWITCH_UNPROVEN


def test_a_permission_for_what_is_not_known_at_all_changes_nothing() -> None:
    world = drives(dark_and_paid(M1), msgspec.structs.replace(UNPROVEN, trusting=None))
    assert permits(world, M1.profile) == "ACCEPTED"
    assert world.rules().verdict is Verdict.SWITCH_UNPROVEN


def test_a_permission_for_a_proven_type_changes_nothing() -> None:
    world = dark_and_paid(M1)
    assert permits(world, M1.profile) == "ACCEPTED"
    assert world.rules().verdict is Verdict.PERMIT


def test_it_is_cut_only_where_it_may_be_closed_again() -> None:
    world = drives(lit(M1), UNPROVEN)
    assert world.ordered(cut(1)) == "CLOSE_UNPROVEN"
    permits(world, M1.profile)
    assert world.ordered(cut(1)) == "ACCEPTED"


def test_each_way_of_switching_is_permitted_as_far_as_it_is_known() -> None:
    closes = msgspec.structs.replace(PROVEN, opens=False, releases=False)
    world = drives(lit(M1), msgspec.structs.replace(UNPROVEN, trusting=closes))
    permits(world, M1.profile)
    assert world.ordered(cut(1)) == "OPEN_UNPROVEN"
