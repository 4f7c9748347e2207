"""`rules` prints the law as the code has it: nothing left out, nothing said twice."""

import json
import re

import pytest
from click.testing import CliRunner

from gateway.console.rules import RuleTable, markdown, rule_tables, rules
from gateway.core.disconnection import (
    OPEN_GUARDS,
    OPEN_WIRE_GUARDS,
    RELEASE_GUARDS,
    OpenVerdict,
)
from gateway.core.reconnection import GUARDS, STANDING_GUARDS, WIRE_GUARDS, Verdict

IN_THE_CODE = (GUARDS, WIRE_GUARDS, OPEN_GUARDS, RELEASE_GUARDS, OPEN_WIRE_GUARDS)
AFTERWARDS = (
    (Verdict.PACED, Verdict.PERMIT),
    (Verdict.PERMIT,),
    (OpenVerdict.PACED, OpenVerdict.PERMIT),
    (OpenVerdict.PACED, OpenVerdict.PERMIT),
    (OpenVerdict.PERMIT,),
)


def test_every_guard_stands_in_its_place_with_what_it_asks() -> None:
    for table, guards, afterwards in zip(rule_tables(), IN_THE_CODE, AFTERWARDS, strict=True):
        assert [rule.number for rule in table.rules] == list(range(1, len(table.rules) + 1))
        said = [verdict for verdict, _ in guards]
        assert [rule.verdict for rule in table.rules] == [*said, *afterwards]
        for rule, (_, guard) in zip(table.rules, guards, strict=False):
            assert rule.asks.split() == (guard.__doc__ or "").split()


def test_every_verdict_of_the_law_stands_in_some_table() -> None:
    said = {rule.verdict for table in rule_tables() for rule in table.rules}
    assert said == {*Verdict, *OpenVerdict}


@pytest.mark.parametrize("table", rule_tables(), ids=lambda table: table.title[:40])
def test_what_a_guard_asks_is_one_sentence_that_fits_a_cell(table: RuleTable) -> None:
    for rule in table.rules:
        assert re.fullmatch(r"[A-Z][^|]*[^.|]\.", rule.asks)


def test_what_is_asked_again_before_a_write_is_named() -> None:
    title = rule_tables()[1].title
    assert re.findall("`([A-Z_]+)`", title) == [verdict for verdict, _ in STANDING_GUARDS]


def test_the_command_prints_the_tables_as_markdown_and_as_json() -> None:
    words = CliRunner().invoke(rules, [])
    assert (words.exit_code, words.output) == (0, markdown(rule_tables()) + "\n")
    assert "\n| 1 | `NOT_ON_ROSTER` | The signed site document does not know" in words.output
    told = json.loads(CliRunner().invoke(rules, ["--json"]).output)
    assert [table["title"] for table in told] == [table.title for table in rule_tables()]
    assert told[0]["rules"][0]["number"] == 1
