"""The outbox: which records are to be sent next, and when to send them again.

Owns the window between what was sent and what the head end has acknowledged. Must never do I/O or
ask the time: seconds of the event loop's clock are arguments. Only an acknowledgement of the head
end moves the window; that the broker took a batch says nothing.
"""

from collections import deque

from gateway.core.model import Value


class OutboxLimits(Value):
    """How much may be under way, and how long an acknowledgement is waited for."""

    batches_max: int = 20
    resend_first_s: float = 5.0
    resend_max_s: float = 60.0


DEFAULT_LIMITS = OutboxLimits()


class Outbox:
    """What was sent and is not acknowledged yet.

    After a time without progress everything since the last acknowledgement counts as lost; then a
    single batch goes out to ask, and the window opens again with the first acknowledgement.
    """

    def __init__(self, limits: OutboxLimits) -> None:
        self._limits = limits
        self._ends: deque[int] = deque()
        self._window = limits.batches_max
        self._resend_s = limits.resend_first_s
        self._newest = 0
        self._acked = 0
        self.sent = 0
        """The last record sent since the window was last set back."""
        self.in_vain = False
        """Whether what was sent counted as lost, and nothing has been acknowledged since."""
        self.deadline_s: float | None = None
        """When what is under way counts as lost; None while nothing is."""

    @property
    def ready(self) -> bool:
        """Whether another batch may go out now."""
        return self.sent < self._newest and len(self._ends) < self._window

    def note(self, newest: int, acked: int, at_s: float) -> None:
        """Take in how far the journal goes and how far it is acknowledged."""
        self._newest = newest
        if acked <= self._acked:
            return
        self._acked = acked
        self.sent = max(self.sent, acked)
        while self._ends and self._ends[0] <= acked:
            self._ends.popleft()
        self._full_speed()
        self.deadline_s = at_s + self._resend_s if self._ends else None

    def batch_sent(self, last: int, at_s: float) -> None:
        """Note that the records up to `last` are under way."""
        self.sent = last
        self._ends.append(last)
        if self.deadline_s is None:
            self.deadline_s = at_s + self._resend_s

    def begin_again(self) -> None:
        """Set the window back to the last acknowledgement, at full speed."""
        self._set_back()
        self._full_speed()

    def go_back(self, held: int) -> None:
        """The head end holds no more than that: what follows was acknowledged, and is lost."""
        self._acked = held
        self.begin_again()

    def count_as_lost(self) -> None:
        """The deadline passed without progress: ask with one batch, and more patiently."""
        self.ask_again()
        self.in_vain = True
        self._resend_s = min(self._resend_s * 2, self._limits.resend_max_s)

    def ask_again(self) -> None:
        """Somebody may have come to answer: ask with one batch, without waiting any longer."""
        self._set_back()
        self._window = 1

    def _set_back(self) -> None:
        self.sent = self._acked
        self._ends.clear()
        self.deadline_s = None

    def _full_speed(self) -> None:
        self._window = self._limits.batches_max
        self.in_vain = False
        self._resend_s = self._limits.resend_first_s
