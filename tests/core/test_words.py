"""The words of the law: what is written down, sent and shown is the name that the code uses."""

from enum import StrEnum

import pytest

from gateway.core.alarms import Alarm
from gateway.core.disconnection import OpenVerdict
from gateway.core.fact import Move, Origin, Outcome, Road, TagKind
from gateway.core.model import Brake, Cause, SupplyState
from gateway.core.reconnection import Verdict
from gateway.core.signature import Flaw
from gateway.core.standing import Newness, Standing

WORDS = (
    Alarm, Brake, Cause, Flaw, Move, Newness, OpenVerdict, Origin, Outcome, Road, Standing,
    SupplyState, TagKind, Verdict,
)  # fmt: skip


@pytest.mark.parametrize("words", WORDS)
def test_the_word_is_the_name(words: type[StrEnum]) -> None:
    assert [word.value for word in words] == [word.name for word in words]
