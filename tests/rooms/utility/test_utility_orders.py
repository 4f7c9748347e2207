"""Orders: each command signs what it says, and nothing that a gateway would refuse in itself."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.documents import decode
from gateway.core.orders import (
    Act,
    Cancel,
    Config,
    Confirm,
    CutEntry,
    Disconnect,
    EndIsolation,
    ForgetMeter,
    Hold,
    Isolate,
    LogBundle,
    Order,
    Read,
    Rebirth,
    Reconnect,
    ReleaseForce,
    ReleaseHold,
    Resume,
    Scan,
    Wipe,
    keys_needed,
)
from gateway.core.settings import BrokerChange
from gateway.core.signature import DocumentType, Verified, verify
from tests.rooms.utility.desk import Desk

ARREARS = """account,meter,n
100200300,23014477,2026-01-19T06:00:00+05:30
100200301,23014478,
"""
LEDGER_MS = 1_768_782_600_000
"""2026-01-19T06:00:00+05:30"""
BOTH = ("order-1", "order-2")
CUT = ("--account", "100200300", "--meter", "23014477", "--n", LEDGER_MS)
METER = ("--meter", "23014477")
WHY = ("--reason", "theft, case 81")
KINDS: list[tuple[str, tuple[object, ...], Act]] = [
    (
        "disconnect",
        CUT,
        Disconnect(accounts=(CutEntry(account="100200300", meter="23014477", n=LEDGER_MS),)),
    ),
    (
        "release-force",
        (*METER, "--meter", "23014478"),
        ReleaseForce(meters=("23014477", "23014478")),
    ),
    (
        "reconnect",
        ("--account", "100200300", *METER),
        Reconnect(account="100200300", meter="23014477"),
    ),
    ("hold", (*METER, *WHY), Hold(meter="23014477", reason="theft, case 81")),
    ("release-hold", (*METER, *WHY), ReleaseHold(meter="23014477", reason="theft, case 81")),
    ("isolate", WHY, Isolate(reason="theft, case 81")),
    ("isolate", ("--dt", "DT-1", *WHY), Isolate(reason="theft, case 81", dt="DT-1")),
    ("end-isolation", WHY, EndIsolation(reason="theft, case 81")),
    ("end-isolation", ("--dt", "DT-1", *WHY), EndIsolation(reason="theft, case 81", dt="DT-1")),
    ("resume", ("--dt", "DT-1", *WHY), Resume(dt="DT-1", reason="theft, case 81")),
    ("cancel", ("--order", "d-1"), Cancel(order="d-1")),
    ("read", (*METER, "--meter", "23014478"), Read(meters=("23014477", "23014478"))),
    ("rebirth", (), Rebirth()),
    (
        "config",
        ("--host", "mqtt2.example", "--port", 1884, "--keepalive", 30, "--log-level", "ERROR"),
        Config(
            broker=BrokerChange(host="mqtt2.example", port=1884, keepalive_s=30), log_level="ERROR"
        ),
    ),
    ("config", ("--reset",), Config(reset=True)),
    ("confirm", ("--order", "config-1"), Confirm(order="config-1")),
    ("log-bundle", (), LogBundle()),
    ("scan", ("--bus", "A"), Scan(bus="A")),
    ("forget-meter", METER, ForgetMeter(meters=("23014477",))),
    ("wipe", (), Wipe()),
]
DANGEROUS = [row for row in KINDS if keys_needed(row[2]) == len(BOTH)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path).equip()
    (made / "arrears.csv").write_text(ARREARS)
    return made


def proven(desk: Desk) -> tuple[Verified, Order]:
    """What was signed, as a gateway with this root reads it."""
    raw = (desk / "out").read_bytes()
    verified = verify(raw, frozenset({DocumentType.ORDER}), desk.root())
    order = decode(verified)
    assert isinstance(order, Order)
    return verified, order


@pytest.mark.parametrize(("kind", "options", "act"), KINDS)
def test_each_kind_says_what_was_meant_under_enough_keys(
    desk: Desk, kind: str, options: tuple[object, ...], act: Act
) -> None:
    keys = BOTH[: keys_needed(act)]
    desk.run(*desk.order(kind, *options, keys=keys))
    verified, order = proven(desk)
    assert verified.signers == keys
    assert order.act == act
    assert (order.gateway, order.seq, order.boot) == ("rewa-7", 8, None)
    assert order.exp - order.iat == 600_000
    assert order.id == f"{kind}-{order.iat}"


def test_what_an_order_says_beside_its_act_can_be_given(desk: Desk) -> None:
    given = ("--id", "h-1", "--seq", "9", "--nonce", "boot-7", "--life", "2h")
    said = json.loads(desk.run(*desk.order("hold", *METER, *WHY, *given, "--json", keys=BOTH)))
    verified, order = proven(desk)
    assert (order.id, order.seq, order.boot) == ("h-1", 9, "boot-7")
    assert order.exp - order.iat == 7_200_000
    assert (said["signed_by"], said["digest"]) == (list(BOTH), verified.digest)
    assert said["says"].startswith("hold order h-1 of meter 23014477, seq 9 for gateway rewa-7")


def test_a_table_names_whom_to_cut_and_as_of_when(desk: Desk) -> None:
    whole = ("--table", desk / "arrears.csv", "--n", "2026-01-20T00:00:00Z")
    said = desk.run(*desk.order("disconnect", *whole, keys=BOTH))
    assert proven(desk)[1].act == Disconnect(
        accounts=(
            CutEntry(account="100200300", meter="23014477", n=LEDGER_MS),
            CutEntry(account="100200301", meter="23014478", n=1_768_867_200_000),
        )
    )
    assert "of 2 accounts" in said
    assert "signed by order-1, order-2" in said


def test_an_order_for_as_many_homes_as_it_may_name_fits(desk: Desk) -> None:
    lines = [f"{'9' * 28}{at:04},{'A' * 28}{at:04}" for at in range(200)]
    (desk / "arrears.csv").write_text("\n".join(["account,meter", *lines, ""]))
    desk.run(*desk.order("disconnect", "--table", desk / "arrears.csv", *CUT[4:], keys=BOTH))
    act = proven(desk)[1].act
    assert isinstance(act, Disconnect)
    assert len(act.accounts) == 200


@pytest.mark.parametrize(("kind", "options", "act"), DANGEROUS)
@pytest.mark.parametrize("keys", [("order-1",), ("order-1", "order-1")])
def test_what_can_darken_a_home_is_not_signed_by_one_key(
    desk: Desk, kind: str, options: tuple[object, ...], act: Act, keys: tuple[str, ...]
) -> None:
    said = desk.refuses(*desk.order(kind, *options, keys=keys))
    assert said.startswith("the order: SECOND_KEY_MISSING: signed by 1 key")
    assert said.endswith("; name another order key with a second --key")
    assert not (desk / "out").exists()


def test_one_key_under_two_names_is_one(desk: Desk) -> None:
    copy = (desk / "keys/order-1.json").read_text().replace('"order-1"', '"order-2"')
    (desk / "keys/order-2.json").write_text(copy)
    assert "SECOND_KEY_MISSING" in desk.refuses(*desk.order("disconnect", *CUT, keys=BOTH))


@pytest.mark.parametrize(("kind", "options", "act"), DANGEROUS)
def test_what_can_darken_a_home_lives_15_minutes_at_most(
    desk: Desk, kind: str, options: tuple[object, ...], act: Act
) -> None:
    desk.run(*desk.order(kind, *options, "--life", "15min", keys=BOTH))
    (desk / "out").unlink()
    said = desk.refuses(*desk.order(kind, *options, "--life", "16min", keys=BOTH))
    assert said == ("the order: LIFE_TOO_LONG: exp: 16 minutes after iat; give a shorter --life")
    assert not (desk / "out").exists()


TABLES = [
    ("empty", "", "line 1: no column account; "),
    ("header only", "account,meter\n", "no account in it; give a table"),
    ("without a meter", "account,meter\n1,\n", "line 2, column meter: it is empty; "),
    ("cut off", ARREARS.rstrip(",\n"), "line 3, column n: 2 cells where the header has 3; "),
    (
        "an account twice",
        ARREARS.replace("100200301", "100200300"),
        "line 3, column account: NAMED_TWICE: 100200300 stands in line 2 too; leave one out",
    ),
    (
        "a meter twice",
        ARREARS.replace("23014478", "23014477"),
        "line 3, column meter: NAMED_TWICE: 23014477 stands in line 2 too; leave one out",
    ),
    (
        "an account of 33 characters",
        ARREARS.replace("100200300", "1" * 33),
        f"line 2, column account: '{'1' * 33}': not an account; write 1 to 32 of",
    ),
    ("no serial number", ARREARS.replace("23014477", "A 1"), "line 2, column meter: 'A 1': not a"),
    ("no time", ARREARS.replace("2026-01-19T06:00:00+05:30", "noon"), "line 2, column n: 'noon'"),
    ("no ledger time", ARREARS, "line 3, column n: no ledger time; fill the column n, or give --n"),
    (
        "a ledger time to come",
        ARREARS.replace("2026-", "2100-"),
        "line 2, column n: 2100-01-19T00:30:00+00:00 is yet to come, and no payment before it",
    ),
    (
        "more than one order takes",
        "account,meter\n" + "".join(f"{at},A{at}\n" for at in range(201)),
        "line 202: 201 accounts; one order takes 200; make a second order",
    ),
]


@pytest.mark.parametrize(("said", "table", "says"), TABLES, ids=[row[0] for row in TABLES])
def test_a_table_is_refused_with_its_place(desk: Desk, said: str, table: str, says: str) -> None:
    (desk / "arrears.csv").write_text(table)
    order = desk.order("disconnect", "--table", desk / "arrears.csv", keys=BOTH)
    line = desk.refuses(*order)
    assert line.startswith(f"{desk / 'arrears.csv'}: {says}")
    assert not (desk / "out").exists()


REFUSED: list[tuple[str, Callable[[Desk], tuple[object, ...]]]] = [
    (
        "the order: args.meter: not a serial number; write 1 to 32 of letters, digits, -",
        lambda desk: desk.order("hold", "--meter", "A 1", *WHY),
    ),
    (
        "the order: args.reason: Expected str of length >= 1; correct the option",
        lambda desk: desk.order("hold", *METER, "--reason", ""),
    ),
    (
        "the order: args.account: not an account; write 1 to 32 of letters, digits, / _ . -",
        lambda desk: desk.order("reconnect", "--account", "1" * 33, *METER),
    ),
    (
        "the order: boot: Expected str of length <= 64; correct the option",
        lambda desk: desk.order("hold", *METER, *WHY, "--nonce", "b" * 65),
    ),
    (
        "the order: NAMED_TWICE: args.meters[1]: 23014477 stands twice; name it once",
        lambda desk: desk.order("release-force", *METER, *METER, keys=BOTH),
    ),
    (
        "the order: args.meters: Expected array of length <= 200; correct the option",
        lambda desk: desk.order(
            "release-force", *(part for at in range(201) for part in ("--meter", f"A{at}"))
        ),
    ),
    (
        "the order: N_AFTER_ISSUE: args.accounts[0].n: 4102444800000 is after iat ",
        lambda desk: desk.order("disconnect", *CUT[:5], "2100-01-01T00:00:00Z", keys=BOTH),
    ),
    (
        "the order: args.accounts[0].account: not an account; write 1 to 32 of letters, digits, /",
        lambda desk: desk.order("disconnect", "--account", "?", *CUT[2:], keys=BOTH),
    ),
    (
        "key receipt-1: a key of role receipt may not sign fg-order+jws; give a key of role order",
        lambda desk: desk.order("hold", *METER, *WHY, keys=("receipt-1",)),
    ),
    (
        "the order: EXPIRED_WHEN_ISSUED: ",
        lambda desk: desk.order("hold", *METER, *WHY, "--life", "0min"),
    ),
]


@pytest.mark.parametrize(("says", "command"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_a_gateway_would_refuse_is_not_signed(
    desk: Desk, says: str, command: Callable[[Desk], tuple[object, ...]]
) -> None:
    assert desk.refuses(*command(desk)).startswith(says)
    assert not (desk / "out").exists()


BROKER = ("--ask-broker", "localhost")
WRONG_USE: list[tuple[str, tuple[object, ...]]] = [
    ("give --table, or --account, --meter and --n", ("disconnect",)),
    ("give --table, or --account, --meter and --n", ("disconnect", *CUT[:4])),
    ("--account and --meter, not both", ("disconnect", "--table", "a.csv", *CUT)),
    ("--n: 'noon' is not a time", ("disconnect", *CUT[:5], "noon")),
    ("--life: '10' is not a span; say 10min, 48h or 30d", ("isolate", *WHY, "--life", "10")),
    ("'--id': 'a b': give 1 to 32 letters", ("isolate", *WHY, "--id", "a b")),
    ("'--dt': 'a/b': give 1 to 32 letters", ("isolate", *WHY, "--dt", "a/b")),
    ("'--seq': 0 is not in the range", ("isolate", *WHY, "--seq", "0")),
    ("Missing option '--reason'", ("isolate",)),
    ("Missing option '--utility', which --ask-broker needs", ("isolate", *WHY, *BROKER)),
    (
        "--ask-broker finds --seq and --nonce: leave them out",
        ("isolate", *WHY, *BROKER, "--utility", "demo", "--seq", "8"),
    ),
    (
        "--ask-broker finds --seq and --nonce: leave them out",
        ("isolate", *WHY, *BROKER, "--utility", "demo", "--nonce", "b"),
    ),
]


@pytest.mark.parametrize(("says", "options"), WRONG_USE)
def test_wrong_use_ends_with_2(desk: Desk, says: str, options: tuple[object, ...]) -> None:
    assert says in desk.run(*desk.order(*map(str, options)), status=2)
    assert not (desk / "out").exists()


def test_an_order_needs_a_number_from_somewhere(desk: Desk) -> None:
    key = desk / "keys/order-1.json"
    whole = ("--gateway", "g", "--key", key, "--out", desk / "out")
    said = desk.run("order", "isolate", *WHY, *whole, status=2)
    assert "Missing option '--seq'; or give --ask-broker and --utility" in said


@pytest.mark.parametrize("kind", sorted({row[0] for row in KINDS}))
def test_help_shows_an_example(desk: Desk, kind: str) -> None:
    assert f"feeder-gateway utility order {kind} " in desk.run("order", kind, "--help")
