"""What holds in every history: over random steps, after each of them."""

import msgspec
from hypothesis import given

from gateway.core.fact import CloseIntended, read_record, store
from gateway.core.image import apply, restored
from gateway.core.kept import Kept
from gateway.core.model import SupplyState
from gateway.core.plan import plan
from gateway.core.reconnection import GUARDS, Verdict, cause_known, may_close
from gateway.core.standing import Standing
from tests.core.histories import DOCUMENTS, ROSTER, Lists, Pays, Step, histories, new_world, take
from tests.core.world import BLANK, World


def played(history: tuple[Step, ...]) -> World:
    world = new_world()
    for step in history:
        take(world, step)
    return world


@given(histories)
def test_replaying_the_records_gives_what_was_kept(history: tuple[Step, ...]) -> None:
    world = played(history)
    image = BLANK
    for record, document in world.journal:
        again = read_record(store(record, bytes(32)).content)
        image = apply(image, again, document)
    assert image.kept == world.image.kept
    assert msgspec.json.encode(image.kept) == msgspec.json.encode(world.image.kept)


@given(histories)
def test_a_checkpoint_anywhere_and_the_records_after_it_give_the_same(
    history: tuple[Step, ...],
) -> None:
    world = new_world()
    checkpoints = [(len(world.journal), msgspec.json.encode(world.image.kept))]
    for step in history:
        take(world, step)
        checkpoints.append((len(world.journal), msgspec.json.encode(world.image.kept)))
    _, final = checkpoints[-1]
    for written, checkpoint in checkpoints[:: max(1, len(checkpoints) // 5)]:
        image = restored(BLANK, msgspec.json.decode(checkpoint, type=Kept))
        for record, document in world.journal[written:]:
            image = apply(image, record, document)
        assert msgspec.json.encode(image.kept) == final
        assert image.roster == world.image.roster
        assert image.by_account == world.image.by_account


@given(histories)
def test_equal_histories_are_equal_bytes(history: tuple[Step, ...]) -> None:
    one, other = played(history), played(history)
    assert one.written() == other.written()
    assert plan(one.image, one.now) == plan(other.image, other.now)


@given(histories)
def test_no_close_is_begun_but_of_an_open_free_paid_meter_whose_cause_is_known(
    history: tuple[Step, ...],
) -> None:
    world = new_world()
    for step in history:
        take(world, step)
        image = world.image
        for body in plan(image, world.now).bodies:
            if not isinstance(body, CloseIntended) or body.attempt > 1:
                continue
            meter = image.roster[body.meter]
            assert image.kept.feeder_isolation is None
            assert meter.dt not in image.kept.dt_isolations
            assert meter.serial not in image.kept.holds
            assert image.seen[meter.serial].state is SupplyState.DISCONNECTED
            word = image.word(meter.account)
            assert word is not None
            assert word.standing is Standing.PAID
            assert cause_known(meter, image, world.now)
            assert (body.standing_n, body.standing_digest) == (word.n, word.digest)


@given(histories)
def test_a_held_or_isolated_meter_is_never_permitted(history: tuple[Step, ...]) -> None:
    world = new_world()
    for step in history:
        take(world, step)
        kept = world.image.kept
        for meter in ROSTER:
            barred = kept.feeder_isolation or meter.dt in kept.dt_isolations
            if barred or meter.serial in kept.holds:
                assert may_close(meter, world.image, world.now).verdict not in {
                    Verdict.PERMIT,
                    Verdict.PACED,
                }


@given(histories)
def test_only_documents_change_a_standing_and_none_turns_into_a_cut(
    history: tuple[Step, ...],
) -> None:
    world = new_world()
    for step in history:
        before = {one.account: world.image.word(one.account) for one in ROSTER}
        take(world, step)
        for account, stood in before.items():
            stands = world.image.word(account)
            assert stands is None or stands.standing is not Standing.CUT
            if not isinstance(step, DOCUMENTS):
                assert stands == stood
            if stood is not None and not isinstance(step, Lists):
                assert stands is not None
                assert stands.n >= stood.n
            paid = stood is not None and stood.standing is Standing.PAID
            if paid and isinstance(step, Pays):
                assert stands is not None
                assert stands.standing is Standing.PAID


@given(histories)
def test_whatever_happened_who_pays_and_is_dark_and_free_gets_his_turn(
    history: tuple[Step, ...],
) -> None:
    world = played(history)
    meter = ROSTER[0]
    kept = msgspec.structs.replace(
        world.image.kept, holds={}, dt_isolations={}, feeder_isolation=None
    )
    world.image = msgspec.structs.replace(world.image, kept=kept)
    world.site(*ROSTER)
    assert world.pays(1, 1_000_000) == "ACCEPTED"
    for _ in range(12):
        # An hour is the longest that anything can stand against it; every close ends well.
        while world.commands:
            world.ends(world.commands.pop(0))
        world.wait(600_000)
        world.reads(meter.serial, SupplyState.DISCONNECTED)
        decided = [body.meter for body in world.plans().bodies if isinstance(body, CloseIntended)]
        if meter.serial in decided:
            return
    raise AssertionError(f"never closed: {world.rules(meter)}")


@given(histories)
def test_the_ruling_is_the_first_guard_that_stands_against_it(history: tuple[Step, ...]) -> None:
    world = played(history)
    for meter in ROSTER:
        ruling = may_close(meter, world.image, world.now)
        if ruling.verdict in {Verdict.PERMIT, Verdict.PACED}:
            assert not any(stands(meter, world.image, world.now) for _, stands in GUARDS)
            assert (ruling.not_before_ms is not None) == (ruling.verdict is Verdict.PACED)
            continue
        position = [verdict for verdict, _ in GUARDS].index(ruling.verdict)
        for verdict, stands in GUARDS[:position]:
            assert not stands(meter, world.image, world.now), verdict
        assert GUARDS[position][1](meter, world.image, world.now)


@given(histories)
def test_what_is_remembered_is_bounded(history: tuple[Step, ...]) -> None:
    kept = played(history).image.kept
    closes = kept.close_count
    for part in (kept.words, kept.proofs, kept.supply, kept.setbacks, kept.holds, kept.closings):
        assert len(part) <= len(ROSTER)
    assert len(kept.closed) <= closes
    assert len(kept.forced) == len(set(kept.forced))
