"""A utility for tests: a ready set of real keys, its root of trust, and one function per document.

The keys follow from their names, so that equal documents are equal bytes in every run.
"""

import base64
import hashlib
from collections.abc import Mapping

import msgspec

from gateway.core.documents import AllowList, Receipt, Site, Time
from gateway.core.orders import Order
from gateway.core.people import Badge
from gateway.core.signature import DocumentType
from gateway.core.trust import Algorithm, Role, Root
from gateway.utility.keys import KeySet
from gateway.utility.sign import SigningKey, payload_of, sign_together


def key(kid: str, *roles: Role, alg: Algorithm = Algorithm.ED25519) -> SigningKey:
    """The key of that name; a name that the root does not know makes a stranger's key."""
    return SigningKey(kid, alg, roles, hashlib.sha256(kid.encode()).digest())


KEYS = KeySet(
    roots=tuple(key(f"root-{at}", Role.ROOT) for at in (1, 2, 3)),
    site=key("site-1", Role.SITE),
    list=key("list-1", Role.LIST),
    receipt=key("receipt-1", Role.RECEIPT),
    orders=tuple(key(f"order-{at}", Role.ORDER) for at in (1, 2)),
    badge=key("badge-1", Role.BADGE),
    time=key("time-1", Role.TIME),
    recovery=tuple(key(f"recovery-{at}", Role.RECOVERY) for at in (1, 2)),
)
ISSUED_AT_MS = 1_795_392_000_000
ROOT = KEYS.root(ISSUED_AT_MS)
ROOT_RAW = KEYS.signed_root(ISSUED_AT_MS)
"""What the installation's anchor file holds."""


def sign_site(site: Site, by: SigningKey = KEYS.site) -> bytes:
    """A site document as it travels."""
    return by.sign(DocumentType.SITE, payload_of(site))


def sign_list(allow_list: AllowList, by: SigningKey = KEYS.list) -> bytes:
    """An allow-list as it travels."""
    return by.sign(DocumentType.LIST, payload_of(allow_list))


def sign_receipt(receipt: Receipt, by: SigningKey = KEYS.receipt) -> bytes:
    """A receipt as it travels."""
    return by.sign(DocumentType.RECEIPT, payload_of(receipt))


def sign_order(order: Order, *by: SigningKey) -> bytes:
    """An order as it travels, signed by both order keys where none is named."""
    return sign_together(by or KEYS.orders, DocumentType.ORDER, payload_of(order))


def sign_badge(badge: Badge, by: SigningKey = KEYS.badge) -> bytes:
    """A badge as it travels."""
    return by.sign(DocumentType.BADGE, payload_of(badge))


def sign_time(time: Time, by: SigningKey = KEYS.time) -> bytes:
    """A time document as it travels."""
    return by.sign(DocumentType.TIME, payload_of(time))


def sign_root(root: Root, *by: SigningKey) -> bytes:
    """A root as it travels, signed by two root keys where none is named."""
    return sign_together(by or KEYS.roots[:2], DocumentType.ROOT, payload_of(root))


def envelope(header: Mapping[str, object] | bytes, payload: bytes, by: SigningKey) -> bytes:
    """A compact JWS that says whatever a test wants it to say, rightly signed."""
    head = header if isinstance(header, bytes) else msgspec.json.encode(header)
    signed = base64url(head) + b"." + base64url(payload)
    return signed + b"." + base64url(by.signature(signed))


def base64url(value: bytes) -> bytes:
    """Base64url without padding, RFC 7515 section 2."""
    return base64.urlsafe_b64encode(value).rstrip(b"=")
