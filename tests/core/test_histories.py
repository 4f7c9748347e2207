"""What holds in every history: over random steps, after each of them."""

import msgspec
from hypothesis import given

from gateway.core.changes import apply
from gateway.core.disconnection import OpenVerdict, may_open
from gateway.core.fact import Move, Origin, TagKind
from gateway.core.grace import grace_applies
from gateway.core.image import restored
from gateway.core.kept import HOUR_MS, Kept
from gateway.core.model import Meter, SupplyState
from gateway.core.orders import Disconnect, ReleaseForce
from gateway.core.plan import plan
from gateway.core.reconnection import GUARDS, Verdict, cause_known, may_close
from gateway.core.records import (
    CloseIntended,
    GraceGranted,
    OrderAccepted,
    Record,
    TagRemoved,
    TaskIntended,
    read_record,
    store,
)
from gateway.core.standing import Standing, standing_of
from gateway.core.switched import TRIALS
from tests.core.histories import (
    DISCONNECTION,
    DOCUMENTS,
    GRACE,
    ROSTER,
    TRANSFORMERS,
    histories,
    new_world,
    take,
)
from tests.core.papers import BLANK
from tests.core.steps import Lists, Orders, Pays, Step
from tests.core.world import World


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
def test_no_close_is_begun_but_of_an_open_free_meter_whose_cause_is_known(
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
            assert not barred(meter, world)
            assert image.seen[meter.serial].state is SupplyState.DISCONNECTED
            assert cause_known(meter, image, world.now)
            word = image.word(meter.account)
            if not body.grace:
                assert word is not None
                assert word.standing is Standing.PAID
                assert (body.standing_n, body.standing_digest) == (word.n, word.digest)
            else:
                assert word is None or word.standing is not Standing.PAID
                assert grace_applies(meter, image, world.now)
                assert body.standing_digest == image.kept.site_digest


@given(histories)
def test_no_switch_is_opened_but_by_an_order_under_two_keys_that_every_guard_lets_pass(
    history: tuple[Step, ...],
) -> None:
    world = new_world()
    for step in history:
        take(world, step)
        image = world.image
        for body in plan(image, world.now).bodies:
            if not isinstance(body, TaskIntended) or body.attempt > 1:
                continue
            (accepted,) = [
                record.body
                for record, _ in world.journal
                if isinstance(record.body, OrderAccepted) and record.body.id == body.order
            ]
            assert len(set(accepted.signers)) >= 2
            assert isinstance(accepted.act, Disconnect | ReleaseForce)
            task = image.kept.tasks[body.meter]
            assert may_open(task, image, world.now).verdict is OpenVerdict.PERMIT
            word = image.word(body.account)
            if body.move is Move.OPEN:
                assert isinstance(accepted.act, Disconnect)
                assert body.meter in {entry.meter for entry in accepted.act.accounts}
                assert word is not None
                assert word.standing is not Standing.PAID or word.n < task.n


@given(histories)
def test_no_rolling_window_holds_more_than_its_ceiling(history: tuple[Step, ...]) -> None:
    world = played(history)
    moved, granted = [], []
    for record, _ in world.journal:
        body = record.body
        if isinstance(body, TaskIntended) and body.attempt == 1:
            moved.append(record)
        elif isinstance(body, GraceGranted):
            granted.append(record)
    never_more_than(DISCONNECTION.hour_max, HOUR_MS, moved)
    never_more_than(GRACE.daily_max, 24 * HOUR_MS, granted)


def never_more_than(ceiling: int, window_ms: int, records: list[Record]) -> None:
    for last in records:
        within = (
            last.mono_ms - window_ms < one.mono_ms <= last.mono_ms
            for one in records
            if one.boot == last.boot
        )
        assert sum(within) <= ceiling


@given(histories)
def test_a_held_or_isolated_meter_is_never_permitted(history: tuple[Step, ...]) -> None:
    world = new_world()
    for step in history:
        take(world, step)
        for meter in ROSTER:
            if barred(meter, world):
                assert may_close(meter, world.image, world.now).verdict not in {
                    Verdict.PERMIT,
                    Verdict.PACED,
                }


def barred(meter: Meter, world: World) -> bool:
    tagged = {(tag.kind, tag.target) for tag in world.image.kept.tags}
    against = {
        (TagKind.ISOLATE_FEEDER, ""),
        (TagKind.ISOLATE_DT, meter.dt),
        (TagKind.HOLD, meter.serial),
    }
    return bool(tagged & against)


@given(histories)
def test_a_tag_goes_only_by_name_and_where_it_was_placed(history: tuple[Step, ...]) -> None:
    world = new_world()
    for step in history:
        before = world.image.kept.tags
        take(world, step)
        gone = [tag for tag in before if tag not in world.image.kept.tags]
        for tag in gone:
            removed = world.journal[-1][0].body
            assert isinstance(removed, TagRemoved)
            assert removed.by
            assert removed.reason
            assert (removed.kind, removed.target, removed.origin) == (
                tag.kind,
                tag.target,
                tag.origin,
            )


@given(histories)
def test_only_documents_change_a_standing_and_only_two_keys_make_a_cut(
    history: tuple[Step, ...],
) -> None:
    world = new_world()
    for step in history:
        before = {one.account: world.image.word(one.account) for one in ROSTER}
        take(world, step)
        for account, stood in before.items():
            stands = world.image.word(account)
            if not isinstance(step, DOCUMENTS):
                assert stands == stood
            if standing_of(stands) is Standing.CUT and standing_of(stood) is not Standing.CUT:
                assert isinstance(step, Orders)
                assert {0, 1} <= set(step.keys)
                assert 2 not in step.keys
            if stood is not None and not isinstance(step, Lists):
                assert stands is not None
                assert stands.n >= stood.n
            paid = stood is not None and stood.standing is Standing.PAID
            if paid and isinstance(step, Pays):
                assert stands is not None
                assert stands.standing is Standing.PAID


@given(histories)
def test_marks_never_fall(history: tuple[Step, ...]) -> None:
    world = new_world()
    marks = (0, 0, 0, 0, 0)
    for step in history:
        take(world, step)
        kept = world.image.kept
        listed = kept.list_in_force
        assert kept.site is not None
        now = (
            kept.site.seq,
            0 if listed is None else listed.seq,
            0 if listed is None else listed.as_of,
            kept.newest.order.seq,
            kept.moves,
        )
        assert all(after >= before for before, after in zip(marks, now, strict=True))
        marks = now


@given(histories)
def test_whatever_happened_who_pays_and_is_dark_and_free_gets_his_turn(
    history: tuple[Step, ...],
) -> None:
    world = played(history)
    meter = ROSTER[0]
    kept = msgspec.structs.replace(world.image.kept, tags=())
    world.image = msgspec.structs.replace(world.image, kept=kept)
    world.site(*ROSTER, transformers=TRANSFORMERS)
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
    by_home = (
        kept.words,
        kept.proofs,
        kept.asks,
        kept.supply,
        kept.causes,
        kept.setbacks,
        kept.closings,
        kept.tasks,
        kept.ended,
        kept.former,
    )
    for part in by_home:
        assert len(part) <= len(ROSTER)
    for trials in kept.trials.values():
        assert len(trials) <= TRIALS
    assert len(kept.tags) <= len(Origin) * (2 * len(ROSTER) + 1)
    assert len(kept.marks) + len(kept.moved) <= kept.moves
    assert len(kept.forced) == len(set(kept.forced))
