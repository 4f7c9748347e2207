"""The moments at which a daemon is killed, and how each is brought about from outside.

Some are told by the daemon's own calls to the disk (`tests.faults.shim`), some by the wire's
witness, some by the clock.
"""

import asyncio
from enum import StrEnum
from random import Random

from tests.faults.shim import Deed
from tests.kills.town import Town
from tests.kills.wire import Frame

DEEDS = (Deed.KILL_BEFORE, Deed.KILL_AFTER, Deed.KILL_SYNCED)
FIRST_START_CALLS = 140
START_CALLS = 16
START_S = 0.7
"""About as long as a start takes."""
LATE_S = 0.06
AFTER_S = 0.8


class Moment(StrEnum):
    """Where a daemon ends."""

    STARTING = "STARTING"
    """At one of the first calls that it makes."""
    COMING_UP = "COMING_UP"
    """At any time of its start."""
    INTENT = "INTENT"
    """A close is being written down, or has just been."""
    TASK = "TASK"
    """The same with what an order asked for."""
    OUTCOME = "OUTCOME"
    LIST = "LIST"
    """While a list is archived and installed, with a checkpoint of the image."""
    RECEIPT = "RECEIPT"
    TAG = "TAG"
    """A technician's hold and the marks that keep it."""
    CHECKPOINT = "CHECKPOINT"
    """While SQLite takes its log over into the file."""
    ACKNOWLEDGED = "ACKNOWLEDGED"
    """While it is noted what the head end holds, or at any other commit."""
    WRITE_SENT = "WRITE_SENT"
    """A switch's write is on the wire."""
    WRITE_ANSWERED = "WRITE_ANSWERED"
    READ_BACK = "READ_BACK"
    ANY_TIME = "ANY_TIME"


WORDS = {
    Moment.INTENT: (b'"close_intended"', 5),
    Moment.TASK: (b'"task_intended"', 5),
    Moment.OUTCOME: (b'"close_ended"', 5),
    Moment.LIST: (b"-list-", 16),
    Moment.RECEIPT: (b"-receipt-", 12),
    Moment.TAG: (b'"tag_placed"', 10),
    Moment.CHECKPOINT: (b"journal.db\0", 8),
}
"""What the call writes or is about, and how many calls later at most the end comes."""
AT_START = (Moment.STARTING, Moment.COMING_UP)


class Trap:
    """Kills the daemon of a town at one moment."""

    def __init__(self, town: Town, moment: Moment, chance: Random) -> None:
        self._town = town
        self._moment = moment
        self._late_s = chance.uniform(0, LATE_S) * chance.randrange(2)
        self._after_s = chance.uniform(0, AFTER_S)
        self._start_s = chance.uniform(0, START_S)
        self._deed = chance.choice(DEEDS)
        self._share = chance.random()
        self._wrote: Frame | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed = True

    def before_start(self) -> None:
        """The process is about to begin."""
        if self._moment is Moment.STARTING:
            calls = START_CALLS if self._town.daemon.starts else FIRST_START_CALLS
            self._town.shim.kill(1 + int(self._share * calls), self._deed)

    def started(self) -> None:
        """The process is there."""
        if self._moment is Moment.COMING_UP:
            self._kill_after(self._start_s)

    def set(self) -> None:
        """Every meter was read: from here on it may happen."""
        town, moment = self._town, self._moment
        match moment:
            case Moment.STARTING | Moment.COMING_UP:
                town.daemon.kill()  # it was quicker
            case Moment.ANY_TIME:
                self._kill_after(self._after_s)
            case Moment.WRITE_SENT:
                town.tap.on_request = self._written
            case Moment.WRITE_ANSWERED:
                town.tap.on_answer = self._written
            case Moment.READ_BACK:
                town.tap.on_answer = self._read_back
            case Moment.ACKNOWLEDGED:
                town.shim.kill(1 + int(self._share * 150), self._deed)
            case _ if moment in WORDS:
                word, calls = WORDS[moment]
                town.shim.kill_at_word(word, int(self._share * calls), self._deed)
            case _:
                raise AssertionError(moment)

    def spring(self) -> None:
        """It was not met: the daemon ends all the same."""
        self._town.daemon.kill()

    def disarm(self) -> None:
        """The process is gone."""
        self._armed = False
        if self._timer is not None:
            self._timer.cancel()
        self._town.shim.mend()
        self._town.tap.on_request = self._town.tap.on_answer = None

    def _written(self, frame: Frame) -> None:
        if frame.writes:
            self._fall()

    def _read_back(self, frame: Frame) -> None:
        if frame.writes:
            self._wrote = frame
        elif self._wrote is not None and frame.unit == self._wrote.unit:
            self._fall()

    def _fall(self) -> None:
        self._town.tap.on_request = self._town.tap.on_answer = None
        if self._armed:
            self._kill_after(self._late_s)

    def _kill_after(self, late_s: float) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(late_s, self._town.daemon.kill)
