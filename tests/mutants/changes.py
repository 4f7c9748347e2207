"""What is done to a healthy document, by chance and with malice, to get it taken as another.

Each change draws from the chance that it is given, so that a seed says every mutant.
"""

import hashlib
import hmac
import json
from collections.abc import Callable
from random import Random

from tests.mutants.herd import Healthy, herd, minted, unbase64
from tests.mutants.payloads import spoiled
from tests.signing import base64url
from tests.vectors import keys
from tests.vectors.envelopes import P256_ORDER
from tests.vectors.keys import array, enveloped, signature

Change = Callable[[Healthy, Random], bytes]
WHITE = (b" ", b"\n", b"\t", b"\r\n", b"\x00", b"\xc2\xa0", b"\xef\xbb\xbf", b"\x0b")
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
NO_ALGORITHM = tuple(
    "".join(c.upper() if bits >> at & 1 else c for at, c in enumerate("none")) for bits in range(16)
)
OTHER_ALGORITHMS = (
    "", "HS256", "HS512", "RS256", "PS256", "ES384", "ES512", "ES256K", "ed25519", "ED25519",
    "Ed448", "EdDSA ", "es256", "Ed25519\x00", "null",
)  # fmt: skip
EXTRA = (
    ("crit", ["b64"]), ("crit", []), ("b64", False), ("jwk", {"kty": "OKP", "crv": "Ed25519"}),
    ("jku", "https://example.org/k"), ("x5u", "file:///k"), ("x5c", ["MII"]), ("zip", "DEF"),
    ("x5t", "AAAA"), ("cty", "json"), ("iss", "utility"), ("", ""), ("Alg", "none"),
)  # fmt: skip
PATHS = (
    "../../{}", "/{}", "{}/", "./{}", "..\\{}", "{}\x00", "{}.json", " {}", "{} ", "%2e%2e/{}",
    "{}'--", "file:{}", "\ufeff{}", "{}\u0301",
)  # fmt: skip


def bits(one: Healthy, chance: Random) -> bytes:
    """Some bits are turned over."""
    raw = bytearray(one.raw)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return bytes(raw)


def cut(one: Healthy, chance: Random) -> bytes:
    """It breaks off, begins late, or lacks a piece."""
    start, end = sorted(chance.sample(range(len(one.raw) + 1), 2))
    return chance.choice((one.raw[:end], one.raw[start:], one.raw[:start] + one.raw[end:]))


def inserted(one: Healthy, chance: Random) -> bytes:
    """Something is put in: bytes, white space, a piece of itself."""
    at = chance.randrange(len(one.raw) + 1)
    start = chance.randrange(len(one.raw))
    own = one.raw[start : start + chance.randrange(1, 40)]
    put = chance.choice((chance.randbytes(chance.randrange(1, 9)), chance.choice(WHITE), own))
    return one.raw[:at] + put + one.raw[at:]


def around(one: Healthy, chance: Random) -> bytes:
    """White space and padding around it, or within its parts."""
    token = chance.choice(one.tokens)
    pieces = token.split(b".")
    at = chance.randrange(3)
    pieces[at] += chance.choice((b"=", b"==", *WHITE))
    return chance.choice((one.raw + chance.choice(WHITE), chance.choice(WHITE) + one.raw,
                          b".".join(pieces)))  # fmt: skip


def respelled(one: Healthy, chance: Random) -> bytes:
    """Another spelling of the same base64url: spare bits, plain alphabet, in lines."""
    pieces = list(chance.choice(one.tokens).split(b"."))
    at = chance.randrange(3)
    piece = pieces[at]
    spare = {2: 4, 3: 2}.get(len(piece) % 4, 0)
    if spare and chance.random() < 0.6:
        bit = 1 << chance.randrange(spare)
        pieces[at] = piece[:-1] + bytes([ALPHABET[ALPHABET.index(piece[-1:]) ^ bit]])
    elif chance.random() < 0.5:
        plain = piece.replace(b"-", b"+").replace(b"_", b"/")
        pieces[at] = plain if plain != piece else piece + b"+"
    else:
        middle = chance.randrange(len(piece))
        pieces[at] = piece[:middle] + b"\n" + piece[middle:]
    return b".".join(pieces)


def parts(one: Healthy, chance: Random) -> bytes:
    """Parts are dropped, doubled, swapped, or taken from another document."""
    pieces = list(one.raw.split(b".") if one.raw[:1] != b"[" else one.tokens[0].split(b"."))
    other = chance.choice(chance.choice(herd()).tokens).split(b".")
    match chance.randrange(5):
        case 0:
            del pieces[chance.randrange(3)]
        case 1:
            pieces.insert(chance.randrange(4), chance.choice((b"", *other)))
        case 2:
            first, second = chance.sample(range(3), 2)
            pieces[first], pieces[second] = pieces[second], pieces[first]
        case 3:
            pieces[chance.randrange(3)] = chance.choice((b"", chance.choice(other)))
        case _:
            at = chance.randrange(3)
            pieces[at] = other[at]
    return b".".join(pieces)


def header(one: Healthy, chance: Random) -> bytes:
    """The header says something else; signed anew by the key, by another, or not at all."""
    members: dict[str, object] = dict(one.header)
    match chance.randrange(5):
        case 0:
            members["alg"] = chance.choice(NO_ALGORITHM)
        case 1:
            members["alg"] = chance.choice((*OTHER_ALGORITHMS, "Ed25519", "EdDSA", "ES256"))
        case 2:
            name, value = chance.choice(EXTRA)
            members[name] = value
        case 3:
            members["kid"] = chance.choice(PATHS).format(one.header["kid"])
        case _:
            name = chance.choice(("alg", "kid", "typ"))
            wrong: tuple[object, ...] = (None, 1, True, [], {}, [members[name]])
            members[name] = chance.choice(wrong)
            if chance.random() < 0.2:
                del members[name]
    return _resigned(one, json.dumps(members).encode(), chance)


def header_text(one: Healthy, chance: Random) -> bytes:
    """The header's bytes are odd: names twice, too long, cut off, in another encoding."""
    text = json.dumps(dict(one.header))
    name = chance.choice(("alg", "kid", "typ"))
    value = chance.choice((*NO_ALGORITHM, one.header[name], "fg-order+jws", "receipt-1"))
    odd = (
        f'{{"{name}":{json.dumps(value)},{text[1:]}',
        f'{text[:-1]},"{name}":{json.dumps(value)}}}',
        f'{text[:-1]},"\\u00{ord(name[0]):02x}{name[1:]}":{json.dumps(value)}}}',
        text + " " * 200,
        text[: chance.randrange(len(text))],
        f"[{text}]",
        text + text,
        text + "\x00",
        "\ufeff" + text,
        text.replace('"', "'"),
    )
    encoded = chance.choice(odd).encode()
    head = text.encode("utf-16") if chance.random() < 0.05 else encoded
    return _resigned(one, head, chance)


def other_type(one: Healthy, chance: Random) -> bytes:
    """The same payload as a document of another type, by its key or one that may sign that type."""
    types = sorted({other.header["typ"] for other in herd()} - {one.header["typ"]})
    kind = chance.choice((*types, "JWT", "", "fg-receipt", one.header["typ"].upper()))
    able = [other.by for other in herd() if other.header["typ"] == kind]
    by = chance.choice((one.by, *able))
    members = {"alg": str(by.alg), "kid": by.kid, "typ": kind}
    return enveloped(json.dumps(members).encode(), one.payload, by)


def other_key(one: Healthy, chance: Random) -> bytes:
    """Signed by the key of another role, or by one key under the name of another."""
    known = minted()
    by, named = chance.choice(list(known.values())), chance.choice(list(known.values()))
    named = chance.choice((by, named, one.by))
    alg = chance.choice((str(by.alg), str(named.alg), "EdDSA"))
    members = {"alg": alg, "kid": named.kid, "typ": one.header["typ"]}
    return enveloped(json.dumps(members).encode(), one.payload, by)


def confused(one: Healthy, chance: Random) -> bytes:
    """A public key as a shared secret, or as a key of the other algorithm."""
    by = one.by
    alg = chance.choice(("HS256", "HS384", "ES256", "Ed25519", "EdDSA", "none"))
    head = base64url(json.dumps({**one.header, "alg": alg}).encode())
    content = head + b"." + base64url(one.payload)
    public = unbase64(by.public().public.encode())
    secret = chance.choice((public, by.public().public.encode(), by.kid.encode(), b""))
    mac = hmac.new(secret, content, hashlib.sha256).digest()
    return content + b"." + base64url(chance.choice((mac, mac + mac, mac + bytes(32))))


def bad_signature(one: Healthy, chance: Random) -> bytes:
    """The signature is zero, swapped, mirrored, DER, too short, too long, or of something else."""
    token = chance.choice(one.tokens)
    content, _, last = token.rpartition(b".")
    whole = unbase64(last)
    r, s = whole[:32], whole[32:]
    mirrored = ((P256_ORDER - int.from_bytes(s)) % P256_ORDER).to_bytes(32)
    order = P256_ORDER.to_bytes(32)
    der = b"\x30\x44\x02\x20" + r + b"\x02\x20" + s
    other = unbase64(chance.choice(chance.choice(herd()).tokens).split(b".")[2])
    odd = (
        bytes(64), r + bytes(32), bytes(32) + s, s + r, r + mirrored, order + s, r + order, der,
        whole[:63], whole + b"\x00", whole[:-1] + bytes([whole[-1] ^ 1]), other, b"\xff" * 64,
        chance.randbytes(64), (1).to_bytes(32) + (1).to_bytes(32), whole * 2, b"\x01" + bytes(63),
    )  # fmt: skip
    changed = content + b"." + base64url(chance.choice(odd))
    return _among(one, token, changed, chance)


def lists(one: Healthy, chance: Random) -> bytes:
    """Arrays: empty, repeated, mixed, nested, of other things, with odd JSON."""
    first = one.tokens[0]
    text = json.dumps([token.decode() for token in one.tokens])
    other = chance.choice(chance.choice(herd()).tokens)
    stranger = enveloped(
        json.dumps({**one.header, "kid": "stranger"}).encode(), one.payload, keys.STRANGER
    )
    odd = (
        b"[]", b"[null]", b"[[]]", b'[""]', b"[1]", b"{}", b"[", b"[" * chance.randrange(2, 3_000),
        array(*[first] * chance.randrange(1, 24)),
        array(first, other),
        array(other, *one.tokens),
        array(*one.tokens, stranger),
        json.dumps([[token.decode() for token in one.tokens]]).encode(),
        json.dumps({"payload": "", "signatures": text}).encode(),
        text[:-1].encode() + b",]",
        text.encode() + text.encode(),
        text.encode() + chance.choice(WHITE),
        text.replace(" ", chance.choice(("", "  ", "\n"))).encode(),
        text.replace("e", "\\u0065", 1).encode(),
        text[:-1].encode() + b',"\\ud800"]',
        text[:-1].encode() + b",1.5]",
        text.encode("utf-16"),
    )  # fmt: skip
    return chance.choice(odd)


def payload(one: Healthy, chance: Random) -> bytes:
    """The payload is changed under the old signature, or is no sound JSON under a right one."""
    head, _, last = one.tokens[0].split(b".")
    if chance.random() < 0.3:
        changed = bytearray(one.payload)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        return head + b"." + base64url(bytes(changed)) + b"." + last
    content = head + b"." + base64url(spoiled(one, chance))
    return content + b"." + base64url(signature(one.by, content))


CHANGES: tuple[Change, ...] = (
    bits, cut, inserted, around, respelled, parts, header, header_text, other_type, other_key,
    confused, bad_signature, lists, payload,
)  # fmt: skip


def _resigned(one: Healthy, head: bytes, chance: Random) -> bytes:
    content = base64url(head) + b"." + base64url(one.payload)
    match chance.randrange(4):
        case 0:
            changed = content + b"." + one.tokens[0].split(b".")[2]
        case 1:
            changed = content + b"." + chance.choice((b"", b"AA", base64url(bytes(64))))
        case 2:
            by = chance.choice(list(minted().values()))
            changed = content + b"." + base64url(signature(by, content))
        case _:
            changed = content + b"." + base64url(signature(one.by, content))
    return _among(one, one.tokens[0], changed, chance)


def _among(one: Healthy, token: bytes, changed: bytes, chance: Random) -> bytes:
    """A changed token alone, or in the place of the one that it was made of."""
    if len(one.tokens) == 1 or chance.random() < 0.3:
        return changed
    return array(*(changed if own == token else own for own in one.tokens))
