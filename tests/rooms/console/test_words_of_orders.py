"""What an order asks for, in words."""

from typing import get_args

import pytest

from gateway.console.record_words import NAMED_MAX, act_in_words
from gateway.core.model import Account, DtId, Serial
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
    Read,
    Rebirth,
    Reconnect,
    ReleaseForce,
    ReleaseHold,
    Resume,
    Scan,
    Wipe,
)
from gateway.core.settings import BrokerChange

ACCOUNT, METER, DT = Account("7301001"), Serial("220315000001"), DtId("DT-1")
DISCONNECT = Disconnect(accounts=(CutEntry(account=ACCOUNT, meter=METER, n=5),))
ACTS: dict[str, Act] = {
    "cut account 7301001": DISCONNECT,
    "give meter M1, M2 back to its own prepay logic": ReleaseForce(meters=("M1", "M2")),
    "supply of account 7301001 is asked for": Reconnect(account=ACCOUNT, meter=METER),
    "hold meter M1: WHY": Hold(meter="M1", reason="WHY"),
    "release the hold on meter M1: WHY": ReleaseHold(meter="M1", reason="WHY"),
    "isolate transformer DT-1: WHY": Isolate(dt=DT, reason="WHY"),
    "isolate the feeder: WHY": Isolate(reason="WHY"),
    "end the isolation of the feeder: WHY": EndIsolation(reason="WHY"),
    "let transformer DT-1 go on: WHY": Resume(dt=DT, reason="WHY"),
    "call off what order O-6 has not begun": Cancel(order="O-6"),
    "read meter M1, M2": Read(meters=("M1", "M2")),
    "say again what this gateway is": Rebirth(),
    "set broker.host b, log_level DEBUG": Config(broker=BrokerChange(host="b"), log_level="DEBUG"),
    "set back what the installer wrote, broker.port 1, broker.keepalive_s 5": Config(
        broker=BrokerChange(port=1, keepalive_s=5), reset=True
    ),
    "keep what order O-6 has set": Confirm(order="O-6"),
    "send what support needs to know": LogBundle(),
    "look around bus A": Scan(bus="A"),
    "forget meter M1, M2": ForgetMeter(meters=("M1", "M2")),
    "take this gateway out of service": Wipe(),
}


@pytest.mark.parametrize("says", ACTS)
def test_what_an_order_asks_for_is_said(says: str) -> None:
    assert act_in_words(ACTS[says]) == says


def test_every_act_is_tried_here() -> None:
    assert {type(act) for act in ACTS.values()} == set(get_args(Act))


def test_of_an_order_for_many_homes_only_the_first_are_named() -> None:
    many = ReleaseForce(meters=tuple(f"M{at}" for at in range(1, NAMED_MAX + 4)))
    named = "M1, M2, M3, M4, M5 and 3 more"
    assert act_in_words(many) == f"give meter {named} back to its own prepay logic"
