"""Publishing: of a file of several documents each is one message, in their order."""

import asyncio
from pathlib import Path

from click.testing import CliRunner, Result

from gateway.headend.messages import read_document
from gateway.utility.cli import utility
from tests.rooms.headend.engine_side import GATEWAY, UTILITY
from tests.rooms.headend.other_end import TOPICS
from tests.rooms.utility.test_utility_next_order import said_of_itself
from tests.rooms.utility.test_utility_show import RECEIPT
from tests.signing import ROOT_RAW, sign_receipt


async def test_each_document_of_a_file_is_published(tmp_path: Path) -> None:
    file = tmp_path / "documents"
    receipt = sign_receipt(RECEIPT)
    file.write_bytes(ROOT_RAW + b"\n" + receipt + b"\n")
    async with said_of_itself(tmp_path, None) as (settings, other):
        address = ("--broker", f"{settings.host}:{settings.port}", "--utility", UTILITY)
        command = ["publish", *address, "--gateway", GATEWAY, str(file)]
        done: Result = await asyncio.to_thread(CliRunner().invoke, utility, command)
        await other.until(lambda: len(other.on(TOPICS.document)) == 2)
    heard = [read_document(payload) for payload in other.on(TOPICS.document)]
    assert heard == [ROOT_RAW, receipt]
    assert [line.split(": the broker has it")[0] for line in done.output.splitlines()] == [
        f"{file}: line 1",
        f"{file}: line 2",
    ]
