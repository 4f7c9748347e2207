"""Receipts: one account's proof of payment, as text and as a QR code (ISO/IEC 18004).

Owns the receipt's form on paper and on a telephone. Must never sign a receipt that has run out.
"""

import io

import msgspec
import segno

from gateway.core.documents import Receipt, place_and_mend
from gateway.utility.files import Mistake, mistake_in

VERSION_MAX = 13
"""69 by 69 modules: what a telephone still reads from a printed bill."""
QUIET_MODULES = 4
SVG_SCALE = 4


def checked_receipt(draft: Receipt, now_ms: int) -> Receipt:
    """The receipt, if its values are in their ranges and it can still be handed in.

    Raises `Mistake`.
    """
    try:
        receipt = msgspec.convert(msgspec.to_builtins(draft), Receipt)
    except msgspec.ValidationError as error:
        raise mistake_in("the receipt", place_and_mend(error), "correct the option") from error
    if receipt.exp < now_ms:
        raise Mistake("the receipt", "EXPIRED: no gateway would take it", "give a later --exp")
    return receipt


def qr_code(document: bytes) -> segno.QRCode:
    """The QR code of a document: error correction M where that stays small, else L."""
    text = document.decode("ascii")
    code = segno.make_qr(text, error="m", mode="byte")
    if int(code.version) > VERSION_MAX:
        code = segno.make_qr(text, error="l", mode="byte")
    return code


def qr_svg(code: segno.QRCode) -> bytes:
    """The code as an SVG picture, black on white."""
    out = io.BytesIO()
    code.save(out, kind="svg", scale=SVG_SCALE, border=QUIET_MODULES, light="white")
    return out.getvalue()


def qr_text(code: segno.QRCode) -> str:
    """The code in block characters, for a terminal with a dark background."""
    out = io.StringIO()
    code.terminal(out=out, border=QUIET_MODULES, compact=True)
    return out.getvalue()
