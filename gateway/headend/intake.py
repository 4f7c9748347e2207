"""The intake: from the broker into the inbox, and the acknowledgement back.

Owns what has come from the broker and is not answered by the engine yet. Must never acknowledge a
message before the engine has said that what it says is on disk, nor lose one because the inbox is
full: then it waits here, unacknowledged, and nothing more is read.

Acknowledgements go out in the order in which the messages came (MQTT 5.0, 4.6.0-2).
"""

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.core.admitted import JOURNAL_DEGRADED
from gateway.core.fact import (
    AckClaim,
    Answer,
    BadMessage,
    BrokerSeen,
    DocumentClaim,
    HeadEndSeen,
    Road,
)
from gateway.core.progress import Progress
from gateway.headend.messages import BadPayload, Topics, read_ack, read_document, read_host
from gateway.headend.session import Message, Session
from gateway.ports import Inbox

UNANSWERED_MAX = 16
"""Messages that may await the engine's answer before reading stops."""
RETRY_S = 0.1
"""Between two attempts to hand an event into a full inbox."""

Arrived = DocumentClaim | AckClaim | BadMessage | HeadEndSeen


class Intake:
    """Hands events into the inbox in order, and acknowledges messages once they are answered.

    `tell` gets how far an order has come, where that is the answer to one that came again or counts
    as never come.
    """

    def __init__(self, inbox: Inbox, tell: Callable[[Session, Progress], object]) -> None:
        self._inbox = inbox
        self._tell = tell
        self._waiting: deque[tuple[Arrived | BrokerSeen, _Arrival | None]] = deque()
        self._arrivals: deque[_Arrival] = deque()
        self._session: Session | None = None
        self._retry: asyncio.TimerHandle | None = None
        self.left = False
        """Documents of this session were left to the broker: they come again with the next one."""

    def message(self, event: Arrived, message: Message, session: Session) -> None:
        """Hand in what a message says; it is acknowledged when the engine has answered."""
        if session is not self._session:
            # What the last session left unanswered will come again from the broker.
            self._session = session
            self._arrivals.clear()
            self.left = False
        arrival = _Arrival(message)
        self._arrivals.append(arrival)
        self._waiting.append((event, arrival))
        self._hand_in()

    def tell(self, seen: BrokerSeen) -> None:
        """Hand in an observation of our own."""
        self._waiting.append((seen, None))
        self._hand_in()

    def stop(self) -> None:
        """Try no more."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _hand_in(self) -> None:
        while self._waiting and self._post(*self._waiting[0]):
            self._waiting.popleft()
        if self._waiting and self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._try_again)
        self._keep_pace()

    def _post(self, event: Arrived | BrokerSeen, arrival: "_Arrival | None") -> bool:
        if arrival is None:
            return self._inbox.post(event)

        def answered(answer: Answer) -> None:
            if answer.order is not None and self._session is not None:
                self._tell(self._session, answer.order)
            arrival.answered = True
            # The disk takes nothing: what is not acknowledged the broker keeps meanwhile.
            arrival.left = answer == JOURNAL_DEGRADED and isinstance(event, DocumentClaim)
            self._acknowledge()

        return self._inbox.post(event, answered)

    def _try_again(self) -> None:
        self._retry = None
        self._hand_in()

    def _acknowledge(self) -> None:
        while self._arrivals and self._arrivals[0].answered:
            arrival = self._arrivals.popleft()
            if arrival.left:
                self.left = True
            elif self._session is not None:
                self._session.acknowledge(arrival.message)
        self._keep_pace()

    def _keep_pace(self) -> None:
        if self._session is None:
            return
        if self._waiting or len(self._arrivals) >= UNANSWERED_MAX:
            self._session.pause()
        else:
            self._session.resume()


class _Arrival:
    """A message, whether the engine has answered it, and whether it is left to the broker."""

    __slots__ = ("answered", "left", "message")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.answered = False
        self.left = False


def read_message(message: Message, topics: Topics, link: str = "") -> Arrived | None:
    """What a message says, as a claim, an observation or a named refusal; None: not ours.

    `link`: the order whose settings the link was made with, empty for none.
    """
    try:
        if message.topic == topics.document:
            raw = read_document(message.payload)
            retained = message.retained
            return DocumentClaim(raw=raw, road=Road.MQTT, retained=retained, link=link)
        if message.topic == topics.ack:
            ack = read_ack(message.payload)
            return AckClaim(through=ack.through, chain=ack.chain, readings=ack.readings)
        if message.topic == topics.host:
            online = read_host(message.payload).online
            return HeadEndSeen(online=online, kept_by_broker=message.retained)
    except BadPayload as bad:
        return BadMessage(name=bad.flaw, detail=bad.detail, raw=message.payload, road=Road.MQTT)
    return None
