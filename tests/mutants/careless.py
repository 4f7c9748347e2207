"""Verifiers with one carelessness each: the campaign has to find every one of them out.

Each is the real one but for what its name says. They stand here so that processes can have them.
"""

import json
from collections.abc import Callable

import msgspec

from gateway.core.signature import (
    FIELD_DOCUMENTS,
    DocumentType,
    Rejected,
    check_signatures,
    tokens_of,
    verify,
)
from gateway.core.trust import Role
from tests.mutants.campaign import root_at
from tests.mutants.herd import NEEDED, Healthy, unbase64
from tests.vectors.book import Door

EVERY_TYPE = FIELD_DOCUMENTS | {DocumentType.BADGE, DocumentType.RECORD}


def any_role(one: Healthy) -> Door:
    """Every key of the root may sign everything."""
    root = root_at(one.line.name)
    wide = tuple(msgspec.structs.replace(key, roles=tuple(Role)) for key in root.keys)
    root = msgspec.structs.replace(root, keys=wide)
    return lambda raw: _word(lambda: verify(raw, EVERY_TYPE, root))


def algorithm_of_the_header(one: Healthy) -> Door:
    """What says that it has no signature needs none."""
    root = root_at(one.line.name)

    def door(raw: bytes) -> str:
        try:
            head = json.loads(unbase64(raw.split(b".")[0]))
            if head["alg"].lower() == "none":
                return "ACCEPTED"
        except (AttributeError, KeyError, TypeError, ValueError):
            pass
        return _word(lambda: verify(raw, EVERY_TYPE, root))

    return door


def signatures_counted(one: Healthy) -> Door:
    """A threshold counts signatures, not keys."""
    root = root_at(one.line.name)

    def door(raw: bytes) -> str:
        word = _word(lambda: check_signatures(raw, EVERY_TYPE, root.keys))
        enough = word == "ACCEPTED" and len(tokens_of(raw)) >= NEEDED.get(one.line.name, 1)
        return "ACCEPTED" if enough else "BELOW_THRESHOLD"

    return door


def payload_unread(one: Healthy) -> Door:
    """What is rightly signed is taken, whatever it says."""
    root = root_at(one.line.name)
    return lambda raw: _word(lambda: verify(raw, EVERY_TYPE, root))


def first_signature_only(one: Healthy) -> Door:
    """Of an array only the first signature is looked at."""
    root = root_at(one.line.name)

    def first(raw: bytes) -> object:
        return verify(tokens_of(raw)[0], EVERY_TYPE, root)

    return lambda raw: _word(lambda: first(raw))


def _word(judged: Callable[[], object]) -> str:
    try:
        judged()
    except Rejected as flaw:
        return str(flaw.flaw)
    return "ACCEPTED"


CARELESS = (
    any_role, algorithm_of_the_header, signatures_counted, payload_unread, first_signature_only,
)  # fmt: skip
