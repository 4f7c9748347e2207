"""Payloads that no reader may take, although the right key has signed them."""

import json
from random import Random

from tests.mutants.herd import Healthy


def spoiled(one: Healthy, chance: Random) -> bytes:
    """A payload with something in it that makes it no document."""
    text = one.payload
    members = json.loads(text)
    name = chance.choice(list(members))
    number = chance.choice([n for n, v in members.items() if type(v) is int])
    twice = json.dumps(name).encode() + b":" + json.dumps(members[name]).encode()
    odd: tuple[bytes, ...] = (
        _with(text, twice),
        b"{" + twice + b"," + text[1:],
        _with(text, b'"x":1.0'),
        _with(text, b'"x":1e3'),
        _with(text, b'"x":-0.0'),
        _with(text, b'"x":Infinity'),
        _with(text, b'"x":-Infinity'),
        _with(text, b'"x":NaN'),
        _with(text, b'"x":"\\ud800"'),
        _with(text, b'"\\udfff":1'),
        _with(text, b'"x":"\x00"'),
        _with(text, b'"x":"\n"'),
        _with(text, b'"x":{"a":1,"a":1}'),
        _with(text, b'"x":' + b"[" * 1_500),
        _with(text, b'"x":01'),
        _with(text, b"'x':1"),
        _with(
            text, b'"x":' + b"9" * 1_000 * chance.randrange(5, 7) if len(text) < 9 else b'"x":+1'
        ),
        _with(text, b"/* x */"),
        text[:-1] + b",}",
        text + b"x",
        text + text,
        text + b"\x00",
        b"\xef\xbb\xbf" + text,
        b"[" + text + b"]",
        text[: chance.randrange(1, len(text))],
        text.decode().encode("utf-16"),
        _with(text, b'"x":"\xc0\xaf"'),
        _with(text, b'"x":"\xed\xa0\x80"'),
        _with(text, b'"x":"\xff"'),
        json.dumps(text.decode()).encode(),
        chance.choice((b"null", b"1", b"true", b'""', b"[]", b"{}")),
        _changed(members, number, float(members[number])),
        _changed(members, number, str(members[number])),
        _changed(members, number, -1 - members[number]),
        _changed(members, number, 2**53 + chance.randrange(2**70)),
        _changed(members, number, 10**30),
        _changed(members, number, None),
        _changed(members, number, [members[number]]),
        _without(members, number),
    )
    return chance.choice(odd)


def _with(text: bytes, member: bytes) -> bytes:
    return text[:-1] + b"," + member + b"}"


def _changed(members: dict[str, object], name: str, value: object) -> bytes:
    return json.dumps({**members, name: value}).encode()


def _without(members: dict[str, object], name: str) -> bytes:
    return json.dumps({n: v for n, v in members.items() if n != name}).encode()
