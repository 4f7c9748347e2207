"""The description of the link is the code's own, and others read it as it is meant.

AsyncAPI's own parser finds no error, Ajv takes every example, the examples pass the real decoders,
and a real gateway speaks as it says.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from gateway.__main__ import program
from gateway.core.documents import decode
from gateway.core.orders import Read
from gateway.core.records import CHAIN_START, read_record, store
from gateway.core.signature import FIELD_DOCUMENTS, DocumentType, claimed_type, verify
from gateway.core.status import Status
from gateway.core.trust import Root
from gateway.daemon import Birth
from gateway.headend.messages import read_ack, read_host, read_presence, read_records
from gateway.headend.metering import read_readings
from gateway.headend.notes import read_meter, read_order
from gateway.utility.drill import read_drill
from gateway.utility.sign import payload_of
from tests.asyncapi.channels import CHANNELS, MESSAGES
from tests.asyncapi.document import FILE, document, text
from tests.asyncapi.examples import on_the_wire
from tests.foreign.npm_slave import NODE_MODULES
from tests.rooms.headend.engine_side import GATEWAY, UTILITY
from tests.rooms.headend.whole_gateway import whole
from tests.signing import KEYS, ROOT

READER = Path(__file__).parents[2] / "foreign" / "read_asyncapi.cjs"
ERROR = 0
UP, DOWN = "{root}/v1/{utility}/{gateway}/up/", "{root}/v1/{utility}/{gateway}/down/"
TO_DO = {
    (f"{UP}status", "send", 1, True),
    (f"{UP}birth", "send", 1, True),
    (f"{UP}records", "send", 1, False),
    (f"{UP}readings", "send", 1, False),
    (f"{UP}order/{{order}}", "send", 1, False),
    (f"{UP}meter/{{meter}}", "send", 1, True),
    (f"{DOWN}document", "receive", 1, False),
    (f"{DOWN}ack", "receive", 1, False),
    (f"{DOWN}host", "receive", 0, True),
}
SPOKEN: dict[str, Callable[[bytes], Any]] = {
    "status": lambda raw: msgspec.json.decode(raw, type=Status),
    "absence": read_presence,
    "birth": lambda raw: msgspec.json.decode(raw, type=Birth),
    "records": read_records,
    "readings": read_readings,
    "order": read_order,
    "meter": read_meter,
    "ack": read_ack,
    "host": read_host,
    "drill": read_drill,
}
"""The decoder of each message that is not a signed document."""
SIGNED = {name: message.document for name, message in MESSAGES.items() if message.document}


def read_by_foreigners(file: Path) -> Any:
    """What the foreign parser says of a file."""
    here = (NODE_MODULES / "@asyncapi" / "parser").is_dir()
    assert here, f"@asyncapi/parser is not in {NODE_MODULES}: tests/run installs it with npm"
    done = subprocess.run(
        ["node", READER, file],
        capture_output=True,
        check=False,
        env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def errors(found: Any) -> list[Any]:
    """What is wrong, without what is only advised."""
    return [one for one in found["diagnostics"] if one["severity"] == ERROR]


@pytest.fixture(scope="module")
def foreign() -> Any:
    return read_by_foreigners(FILE)


@pytest.fixture
def example(foreign: Any, name: str) -> Any:
    """As whoever reads the file finds it."""
    (found,) = foreign["plain"]["components"]["messages"][name]["examples"]
    return found["payload"]


def test_the_file_is_what_the_types_say() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run python -m tests.asyncapi"


def test_the_command_prints_the_file() -> None:
    result = CliRunner().invoke(program, ["utility", "asyncapi"])
    assert (result.exit_code, result.output) == (0, text())


def test_the_foreign_parser_finds_no_error_and_another_reader_reads_the_same(foreign: Any) -> None:
    assert errors(foreign) == []
    assert foreign["plain"] == document()


def test_the_schemas_take_every_example_and_what_it_signs(foreign: Any) -> None:
    assert foreign["unlike"] == {}


def test_the_foreign_readers_see_what_is_wrong(tmp_path: Path) -> None:
    plain = document()
    plain["components"]["messages"]["ack"]["examples"][0]["payload"]["through"] = "four"
    plain["operations"]["receiveAck"]["action"] = "hear"
    file = tmp_path / "asyncapi.json"
    file.write_bytes(msgspec.json.encode(plain))
    found = read_by_foreigners(file)
    assert any(one["path"][:2] == ["operations", "receiveAck"] for one in errors(found))
    assert found["unlike"] == {"ack": "data/through must be integer"}


def test_who_follows_it_sends_and_subscribes_as_the_gateway_does(foreign: Any) -> None:
    to_do = {
        (one["address"], one["action"], one["qos"], one["retain"]) for one in foreign["operations"]
    }
    assert to_do == TO_DO


@pytest.mark.parametrize("name", SPOKEN)
def test_an_example_passes_the_real_decoder(name: str, example: Any) -> None:
    read = SPOKEN[name](on_the_wire(example))
    assert msgspec.json.decode(msgspec.json.encode(read)) == example


def test_every_message_has_its_decoder() -> None:
    assert {*SPOKEN, *SIGNED} == set(MESSAGES)
    assert set(SIGNED.values()) == FIELD_DOCUMENTS


@pytest.mark.parametrize("name", ["records"])
def test_the_records_of_the_example_are_a_chain(example: Any) -> None:
    batch = read_records(on_the_wire(example))
    chain, number = CHAIN_START, batch.first
    assert batch.prev == chain.hex()
    for raw in batch.records:
        record = read_record(bytes(raw))
        assert record.number == number
        stored = store(record, chain)
        assert stored.content == bytes(raw)
        chain, number = stored.chain, number + 1


@pytest.mark.parametrize("name", SIGNED)
def test_a_signed_example_passes_the_verifier_and_is_what_is_said_of_it(
    name: str, example: Any, foreign: Any
) -> None:
    raw = on_the_wire(example)
    said = foreign["plain"]["components"]["messages"][name]["x-jws"]
    verified = verify(raw, FIELD_DOCUMENTS, ROOT)
    assert said["typ"] == claimed_type(raw) == verified.type == SIGNED[name]
    if verified.type is DocumentType.ROOT:
        assert msgspec.json.decode(verified.payload, type=Root) == ROOT
        return
    assert payload_of(decode(verified)) == verified.payload


async def test_a_real_gateway_speaks_on_the_described_topics_as_described(tmp_path: Path) -> None:
    async with whole(tmp_path) as (_, head):
        await head.orders(1, Read(meters=("M2",)), KEYS.orders[0])
        await head.until_told("IN_PROGRESS")
        await head.until(lambda: any(one.topic.endswith("/up/status") for one in head.heard))
    heard = {
        (name, message.retained)
        for message in head.heard
        for name, channel in CHANNELS.items()
        if channel.action == "send" and matches(channel.address, message.topic)
    }
    up = {message.topic for message in head.heard if "/up/" in message.topic}
    assert all(any(matches(one.address, topic) for one in CHANNELS.values()) for topic in up)
    assert heard >= {("status", True), ("birth", True), ("records", False), ("order", False)}
    assert all(retained is CHANNELS[name].retain for name, retained in heard)


def matches(address: str, topic: str) -> bool:
    """Whether a topic is one of an address."""
    of_this_gateway = address.format(
        root="fg", utility=UTILITY, gateway=GATEWAY, order="[^/]+", meter="[^/]+"
    )
    return re.fullmatch(of_this_gateway, topic) is not None
