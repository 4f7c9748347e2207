"""The outbox: only an acknowledgement of the head end moves the window."""

from gateway.headend.outbox import Outbox, OutboxLimits

LIMITS = OutboxLimits(batches_max=3, resend_first_s=5.0, resend_max_s=60.0)


def send(outbox: Outbox, at_s: float, batch: int = 10, newest: int = 1000) -> list[int]:
    """Send while the outbox lets us; the last record of each batch."""
    sent = []
    while outbox.ready:
        last = min(outbox.sent + batch, newest)
        outbox.batch_sent(last, at_s)
        sent.append(last)
    return sent


def test_nothing_is_sent_where_nothing_is_new() -> None:
    outbox = Outbox(LIMITS)
    outbox.note(5, 5, 0.0)
    assert not outbox.ready
    assert outbox.deadline_s is None


def test_the_window_holds_so_many_batches_and_opens_with_each_acknowledgement() -> None:
    outbox = Outbox(LIMITS)
    outbox.note(1000, 0, 0.0)
    assert send(outbox, 0.0) == [10, 20, 30]
    outbox.note(1000, 10, 1.0)
    assert send(outbox, 1.0) == [40]
    outbox.note(1000, 25, 2.0)  # in the middle of a batch: that batch is still under way
    assert send(outbox, 2.0) == [50]


def test_a_head_end_that_holds_less_than_it_had_acknowledged_gets_it_again() -> None:
    outbox = Outbox(LIMITS)
    outbox.note(100, 100, 0.0)
    outbox.go_back(60)
    outbox.note(100, 60, 1.0)
    assert send(outbox, 1.0, newest=100) == [70, 80, 90]
    outbox.note(100, 90, 2.0)
    assert send(outbox, 2.0, newest=100) == [100]


def test_an_old_acknowledgement_moves_nothing() -> None:
    outbox = Outbox(LIMITS)
    outbox.note(1000, 20, 0.0)
    send(outbox, 0.0)
    outbox.note(1000, 10, 1.0)
    assert not outbox.ready
    assert outbox.deadline_s == 5.0


def test_without_progress_one_batch_asks_and_ever_more_patiently() -> None:
    outbox = Outbox(LIMITS)
    outbox.note(1000, 100, 0.0)
    send(outbox, 0.0)
    waits, at_s = [], 5.0
    for _ in range(6):
        assert outbox.deadline_s == at_s
        outbox.count_as_lost()
        assert send(outbox, at_s) == [110]
        assert outbox.deadline_s is not None
        waits.append(outbox.deadline_s - at_s)
        at_s = outbox.deadline_s
    assert waits == [10.0, 20.0, 40.0, 60.0, 60.0, 60.0]


def test_whoever_may_have_come_to_answer_is_asked_at_once_with_one_batch() -> None:
    outbox = Outbox(LIMITS)
    outbox.note(1000, 100, 0.0)
    send(outbox, 0.0)
    outbox.count_as_lost()
    assert send(outbox, 5.0) == [110]
    outbox.ask_again()
    assert send(outbox, 6.0) == [110]
    assert outbox.deadline_s == 16.0  # as patiently as before


def test_progress_opens_the_whole_window_again() -> None:
    outbox = Outbox(LIMITS)
    outbox.note(1000, 0, 0.0)
    send(outbox, 0.0)
    outbox.count_as_lost()
    assert outbox.in_vain
    send(outbox, 5.0)
    outbox.note(1000, 10, 6.0)
    assert not outbox.in_vain
    assert send(outbox, 6.0) == [20, 30, 40]
    assert outbox.deadline_s == 11.0


def test_all_acknowledged_means_nothing_to_wait_for() -> None:
    outbox = Outbox(LIMITS)
    outbox.note(30, 0, 0.0)
    send(outbox, 0.0, newest=30)
    outbox.note(30, 30, 1.0)
    assert outbox.deadline_s is None
    assert not outbox.ready


def test_beginning_again_sends_from_the_acknowledgement_on_at_full_speed() -> None:
    outbox = Outbox(LIMITS)
    outbox.note(1000, 10, 0.0)
    send(outbox, 0.0)
    outbox.count_as_lost()
    outbox.begin_again()
    assert send(outbox, 1.0) == [20, 30, 40]
    assert outbox.deadline_s == 6.0


def test_an_acknowledgement_beyond_what_this_window_sent_skips_it() -> None:
    outbox = Outbox(LIMITS)
    outbox.note(1000, 0, 0.0)
    send(outbox, 0.0)
    outbox.count_as_lost()  # the acknowledgement of the first sending comes after all
    outbox.note(1000, 30, 6.0)
    assert send(outbox, 6.0) == [40, 50, 60]
