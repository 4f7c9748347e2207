"""The local socket: status, log and documents for a person or a program at this machine.

Owns a Unix socket (mode 0600, so the file's owner and root may use it) and its one-line JSON
exchange. Must never change anything itself: what is handed in becomes a claim in the inbox, and
the answer goes back when it is on disk.
"""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Literal, assert_never

import msgspec

from gateway.core.device import checkpoint_of
from gateway.core.documents import Checkpoint
from gateway.core.fact import (
    Answer,
    BadMessage,
    CauseClaim,
    DocumentClaim,
    Origin,
    ResumeClaim,
    Road,
    TagClaim,
    TagKind,
)
from gateway.core.image import Image
from gateway.core.model import Digest
from gateway.core.signature import FIELD_DOCUMENTS, LENGTH_MAX
from gateway.core.status import Status, status_of
from gateway.ports import Clock, Inbox, Keeper, NotWritten

LINE_MAX = max(LENGTH_MAX[kind] for kind in FIELD_DOCUMENTS) + 64 * 1024
"""Bytes of one request: the largest document and room for the words around it."""
RECORDS_BYTES_MAX = 1024 * 1024
DOCUMENTS_MAX = 64
DOCUMENTS_BYTES_MAX = 8 * 1024 * 1024
RECORD_NUMBER_MAX = 2**63 - 1
"""What the journal can count to."""


class AskStatus(msgspec.Struct, frozen=True, tag_field="ask", tag="status"):
    """The summary of the running gateway."""


class AskRecords(msgspec.Struct, frozen=True, tag_field="ask", tag="records"):
    """Records after a number, about 1 MiB of them at most."""

    after: Annotated[int, msgspec.Meta(ge=0, le=RECORD_NUMBER_MAX)] = 0


class Submit(msgspec.Struct, frozen=True, tag_field="ask", tag="submit"):
    """Hand in one signed document."""

    document: str


class AskTag(
    msgspec.Struct,
    frozen=True,
    tag_field="ask",
    tag="tag",
    kw_only=True,
    forbid_unknown_fields=True,
):
    """Place or remove a hold or an isolation.

    It has no origin to choose: whoever stands at this machine is a technician.
    """

    kind: TagKind
    target: str
    place: bool
    by: str
    reason: str


class AskCause(msgspec.Struct, frozen=True, tag_field="ask", tag="cause"):
    """Say what opened a meter's switch."""

    claim: CauseClaim


class AskResume(msgspec.Struct, frozen=True, tag_field="ask", tag="resume"):
    """Let a stopped transformer go on."""

    claim: ResumeClaim


class AskCheckpoint(msgspec.Struct, frozen=True, tag_field="ask", tag="checkpoint"):
    """The gateway's signed word for its journal up to the last record."""


class AskRest(msgspec.Struct, frozen=True, tag_field="ask", tag="rest"):
    """Let the journal's file stand still, so that it can be read as a whole.

    It does until `AskRestEnd`, or until this connection ends.
    """


class AskRestEnd(msgspec.Struct, frozen=True, tag_field="ask", tag="rest_end"):
    """It was read."""


class AskDocuments(msgspec.Struct, frozen=True, tag_field="ask", tag="documents"):
    """Documents of the archive, by their digests, about 8 MiB of them at most."""

    digests: Annotated[tuple[Digest, ...], msgspec.Meta(max_length=DOCUMENTS_MAX)]


Ask = (
    AskCheckpoint
    | AskStatus
    | AskRecords
    | AskRest
    | AskRestEnd
    | AskDocuments
    | Submit
    | AskTag
    | AskCause
    | AskResume
)


class RecordLine(msgspec.Struct, frozen=True):
    """A record with its chain hash in hexadecimal."""

    chain: str
    record: msgspec.Raw


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of: the status, records, the answer to a claim, or what was wrong with the request."""

    kind: Literal["status", "records", "answer", "checkpoint", "rest", "documents", "error"]
    status: Status | None = None
    records: tuple[RecordLine, ...] | None = None
    answer: Answer | None = None
    checkpoint: str = ""
    """Compact `fg-record+jws`."""
    still: bool = False
    """The journal's file stands still; at its end: it has stood still all the time."""
    written_bytes: int | None = None
    """What the daemon has sent to its disks since it began."""
    documents: tuple[str, ...] | None = None
    error: str = ""


class LocalSocket:
    """Serves the socket until cancelled."""

    def __init__(
        self,
        path: Path,
        image: Image,
        *,
        inbox: Inbox,
        records: Keeper,
        clock: Clock,
        signed: Callable[[Checkpoint], str] | None,
    ) -> None:
        self._path = path
        self._image = image
        self._inbox = inbox
        self._records = records
        self._clock = clock
        self._signed = signed
        self._callers: set[asyncio.Task[None]] = set()
        self._reader: asyncio.Task[None] | None = None
        """Whoever reads the journal's file as a whole."""

    def show(self, image: Image) -> None:
        """Take the newest image."""
        self._image = image

    async def run(self) -> None:
        """Serve until cancelled. Raises `OSError` where the socket can not be made.

        A socket that another daemon serves is left to it, and so is what is no socket.
        """
        await self._make_room()
        server = await asyncio.start_unix_server(
            self._serve, sock=_bound_privately(self._path), limit=LINE_MAX
        )
        try:
            await asyncio.Event().wait()
        finally:
            # Not waited for: since Python 3.12 it closes only when the last caller has left.
            server.close()
            for caller in self._callers:
                caller.cancel()
            self._path.unlink(missing_ok=True)

    async def _make_room(self) -> None:
        try:
            _, writer = await asyncio.open_unix_connection(self._path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            if self._path.is_socket():
                self._path.unlink()  # left by a daemon that was killed
            return
        writer.close()
        raise OSError(errno.EADDRINUSE, "another daemon serves it", str(self._path))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._callers.add(task)
        task.add_done_callback(self._callers.discard)
        # Cancelled only by the end of the room; nobody waits for this task to hear of it.
        with suppress(ConnectionError, asyncio.CancelledError):
            try:
                while reply := await self._exchange(reader):
                    writer.write(msgspec.json.encode(reply) + b"\n")
                    await writer.drain()
            finally:
                writer.close()
                await self._leave_it(task)

    async def _leave_it(self, task: "asyncio.Task[None]") -> None:
        # Whoever read the file as a whole has gone without saying so.
        if self._reader is task:
            with suppress(NotWritten):
                await self._end_rest()

    async def _exchange(self, reader: asyncio.StreamReader) -> Reply | None:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            head = await reader.read(LINE_MAX)
            claim = BadMessage(
                name="TOO_LONG",
                detail=f"more than {LINE_MAX} bytes on the local socket",
                raw=head,
                road=Road.LOCAL,
            )
            await self._drop_rest(reader)
            return Reply(kind="answer", answer=await self._inbox.ask(claim))
        try:
            ask = msgspec.json.decode(line, type=Ask)
        except msgspec.DecodeError as error:
            return Reply(kind="error", error=str(error))
        return await self._answer(ask)

    async def _answer(self, ask: Ask) -> Reply:
        match ask:
            case AskStatus():
                return Reply(kind="status", status=status_of(self._image, self._clock.now()))
            case AskCheckpoint():
                return self._checkpoint()
            case AskRecords():
                stored = await self._records.records_after(ask.after, RECORDS_BYTES_MAX)
                lines = tuple(
                    RecordLine(chain=one.chain.hex(), record=msgspec.Raw(one.content))
                    for one in stored
                )
                return Reply(kind="records", records=lines)
            case AskRest():
                return await self._let_rest()
            case AskRestEnd():
                return await self._end_rest()
            case AskDocuments():
                found = await self._records.documents(ask.digests)
                texts = tuple(one.decode() for one in _up_to(found, DOCUMENTS_BYTES_MAX))
                return Reply(kind="documents", documents=texts)
            case Submit():
                claim = DocumentClaim(raw=ask.document.strip().encode(), road=Road.LOCAL)
                return Reply(kind="answer", answer=await self._inbox.ask(claim))
            case AskTag():
                return Reply(kind="answer", answer=await self._inbox.ask(_technicians(ask)))
            case AskCause() | AskResume():
                return Reply(kind="answer", answer=await self._inbox.ask(ask.claim))
            case _:
                assert_never(ask)

    async def _let_rest(self) -> Reply:
        try:
            still = await self._records.rest()
        except NotWritten as error:
            return Reply(kind="error", error=str(error))
        if not still:
            said = "the journal is being read as a whole, or has no file now; try again later"
            return Reply(kind="error", error=said)
        self._reader = asyncio.current_task()
        return Reply(kind="rest", still=True, written_bytes=self._records.written_bytes())

    async def _end_rest(self) -> Reply:
        if self._reader is not asyncio.current_task():
            return Reply(kind="rest")
        self._reader = None
        return Reply(kind="rest", still=await self._records.end_rest())

    def _checkpoint(self) -> Reply:
        if self._signed is None:
            return Reply(kind="error", error="there is no usable device key: see the daemon's log")
        image, now = self._image, self._clock.now()
        if image.degraded is not None:
            held = f"{image.degraded.held} records are in memory alone"
            return Reply(kind="error", error=f"{image.degraded.trouble}: {held}; mend the disk")
        return Reply(kind="checkpoint", checkpoint=self._signed(checkpoint_of(image, now)))

    @staticmethod
    async def _drop_rest(reader: asyncio.StreamReader) -> None:
        # The caller waits for its answer only after it has sent everything: read it away unkept.
        while True:
            try:
                await reader.readuntil(b"\n")
            except asyncio.LimitOverrunError as error:
                await reader.read(max(error.consumed, 1))
            except asyncio.IncompleteReadError:
                return
            else:
                return


def _up_to(documents: tuple[bytes, ...], bytes_max: int) -> Iterator[bytes]:
    size = 0
    for document in documents:
        size += len(document)
        if size > bytes_max:
            return
        yield document


def _technicians(ask: AskTag) -> TagClaim:
    return TagClaim(
        kind=ask.kind,
        target=ask.target,
        place=ask.place,
        by=ask.by,
        reason=ask.reason,
        origin=Origin.TECHNICIAN,
    )


def _bound_privately(path: Path) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A mode set afterwards would come too late for whoever connects in between.
    before = os.umask(0o177)
    try:
        bound.bind(str(path))
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(before)
    return bound


class LocalClient:
    """The other end of the socket, for commands at this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def ask(self, ask: Ask) -> Reply:
        """One exchange. Raises `OSError` where no daemon answers."""
        async with self.talking() as exchange:
            return await exchange(ask)

    @asynccontextmanager
    async def talking(self) -> AsyncIterator[Callable[[Ask], Awaitable[Reply]]]:
        """Several exchanges over one connection. Raises `OSError` where no daemon answers."""
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=8 * LINE_MAX)

        async def exchange(ask: Ask) -> Reply:
            writer.write(msgspec.json.encode(ask) + b"\n")
            await writer.drain()
            line = await reader.readline()
            if not line.endswith(b"\n"):
                raise ConnectionResetError(f"the daemon at {self._path} ended the exchange")
            return msgspec.json.decode(line, type=Reply)

        try:
            yield exchange
        finally:
            writer.close()
