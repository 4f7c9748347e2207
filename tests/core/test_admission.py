"""What is believed and what is refused by name; a refusal changes nothing else."""

from collections.abc import Callable

import msgspec
import pytest

from gateway.core.admission import REFUSALS_A_MINUTE_MAX, admit_document
from gateway.core.admitted import Admission
from gateway.core.fact import DocumentClaim, Road
from gateway.core.kept import Ask
from gateway.core.model import Account, Serial
from gateway.core.records import ListInstalled, ReceiptAccepted, Refused, SiteInstalled
from gateway.core.sequence import SEQ_JUMP_MAX
from gateway.core.signature import digest_of
from gateway.core.standing import Standing
from gateway.utility.sign import payload_of
from tests.core.papers import LEDGER_MS, M1, M2, MINUTE_MS, NOON_MS, allow_list, entry, receipt
from tests.core.world import World
from tests.signing import KEYS, key, sign_list, sign_receipt

Given = Callable[[World], object]
Comes = Callable[[World], str]


def nothing(world: World) -> None:
    """The world as it is: a site with M1 and M2."""


def list_5(world: World) -> None:
    assert world.lists(500, entry(1, 400), seq=5) == "ACCEPTED"


def receipt_of_400(world: World) -> None:
    assert world.pays(1, 400) == "ACCEPTED"


def swapped(world: World) -> None:
    """A1's meter M1 was replaced by M8, and that one by M9."""
    for serial in ("M8", "M9"):
        assert world.site(msgspec.structs.replace(M1, serial=serial), M2) == "ACCEPTED"


def list_5_and_receipt(world: World) -> None:
    list_5(world)
    receipt_of_400(world)


DOCUMENTS: list[tuple[str, Given, Comes, str]] = [
    # --- the envelope, by one example; the rest is in test_signature.py ---
    ("bytes that are no document", nothing, lambda w: w.hand_in(b"x"), "MALFORMED_ENVELOPE"),
    (
        "a receipt of a key that the root does not name",
        nothing,
        lambda w: w.hand_in(sign_receipt(receipt(1, 1), by=key("forger", *KEYS.receipt.roles))),
        "UNKNOWN_KEY",
    ),
    # --- site ---
    (
        "a site document for another gateway",
        nothing,
        lambda w: w.site(M1, gateway="gw-2"),
        "WRONG_AUDIENCE",
    ),
    ("the next site document", nothing, lambda w: w.site(M1), "ACCEPTED"),
    ("the site document in force again", nothing, lambda w: w.site(M1, M2, seq=1), "DUPLICATE"),
    ("another site document of the same seq", nothing, lambda w: w.site(M1, seq=1), "EQUIVOCATION"),
    ("a site document of a lower seq", nothing, lambda w: w.site(M1, seq=0), "SEQ_OLD"),
    (
        "a site document of the farthest seq",
        nothing,
        lambda w: w.site(M1, seq=1 + SEQ_JUMP_MAX),
        "ACCEPTED",
    ),
    (
        "a site document from too far ahead",
        nothing,
        lambda w: w.site(M1, seq=2 + SEQ_JUMP_MAX),
        "SEQ_JUMP",
    ),
    ("a roster with a meter twice", nothing, lambda w: w.site(M1, M1), "DUPLICATE_ACCOUNT"),
    # --- list ---
    (
        "a list for another gateway",
        nothing,
        lambda w: w.gets(allow_list(1, 9, gateway="gw-2")),
        "WRONG_AUDIENCE",
    ),
    ("the first list", nothing, lambda w: w.lists(9, entry(1, 9)), "ACCEPTED"),
    ("the list in force again", list_5, lambda w: w.lists(500, entry(1, 400), seq=5), "DUPLICATE"),
    ("another list of the same seq", list_5, lambda w: w.lists(600, seq=5), "EQUIVOCATION"),
    ("a list of a lower seq", list_5, lambda w: w.lists(600, seq=4), "SEQ_OLD"),
    ("a list from too far ahead", list_5, lambda w: w.lists(600, seq=6 + SEQ_JUMP_MAX), "SEQ_JUMP"),
    ("a newer list that looks back farther", list_5, lambda w: w.lists(499), "AS_OF_FELL"),
    ("a newer list of the same instant", list_5, lambda w: w.lists(500), "ACCEPTED"),
    (
        "an entry after the list's own as_of",
        nothing,
        lambda w: w.lists(9, entry(1, 10)),
        "ENTRY_AFTER_AS_OF",
    ),
    (
        "an entry that names another meter at one n",
        receipt_of_400,
        lambda w: w.lists(500, entry(1, 400, serial="M9")),
        "EQUIVOCATION",
    ),
    (
        "an entry of an account of nobody here",
        nothing,
        lambda w: w.lists(9, entry(77, 9)),
        "ACCEPTED",
    ),
    # --- receipt ---
    ("a receipt", nothing, lambda w: w.pays(1), "ACCEPTED"),
    (
        "a receipt for this gateway",
        nothing,
        lambda w: w.gets(receipt(1, 1, gateway="gw-1")),
        "ACCEPTED",
    ),
    (
        "a receipt for another gateway",
        nothing,
        lambda w: w.gets(receipt(1, 1, gateway="gw-2")),
        "WRONG_AUDIENCE",
    ),
    ("a receipt of an account of nobody here", nothing, lambda w: w.pays(77), "NOT_ON_ROSTER"),
    (
        "a receipt for a meter of nobody here",
        nothing,
        lambda w: w.gets(receipt(1, 1, serial="M9")),
        "METER_MISMATCH",
    ),
    (
        "a receipt for another account's meter",
        nothing,
        lambda w: w.gets(receipt(1, 1, serial="M2")),
        "METER_MISMATCH",
    ),
    (
        "a receipt for the meter that replaced the one before",
        swapped,
        lambda w: w.gets(receipt(1, 1, serial="M9")),
        "ACCEPTED",
    ),
    (
        "a receipt for the meter that was replaced last",
        swapped,
        lambda w: w.gets(receipt(1, 1, serial="M8")),
        "ACCEPTED",
    ),
    ("a receipt for the meter replaced before it", swapped, lambda w: w.pays(1), "ACCEPTED"),
    (
        "another account's receipt for a meter that was replaced",
        swapped,
        lambda w: w.gets(receipt(2, 1, serial="M1")),
        "METER_MISMATCH",
    ),
    ("a receipt again", receipt_of_400, lambda w: w.pays(1, 400), "DUPLICATE"),
    ("a receipt of what the list says already", list_5, lambda w: w.pays(1, 400), "ACCEPTED"),
    ("that receipt again", list_5_and_receipt, lambda w: w.pays(1, 400), "DUPLICATE"),
    ("a newer receipt", receipt_of_400, lambda w: w.pays(1, 401), "ACCEPTED"),
    (
        "a receipt older than another",
        receipt_of_400,
        lambda w: w.pays(1, 399),
        "OLDER_THAN_STANDING",
    ),
    (
        "a receipt older than its list entry",
        list_5,
        lambda w: w.pays(1, 399),
        "OLDER_THAN_STANDING",
    ),
    ("a receipt newer than the list that omits it", list_5, lambda w: w.pays(2, 501), "ACCEPTED"),
    # Once it was taken where nothing else had been said, and gave nothing.
    (
        "a receipt older than the list that omits it",
        list_5,
        lambda w: w.pays(2, 500),
        "OLDER_THAN_STANDING",
    ),
    (
        "a receipt to be handed in by now",
        nothing,
        lambda w: w.gets(receipt(1, 1, exp=w.now.wall_low_ms)),
        "ACCEPTED",
    ),
    (
        "a receipt that is certainly too late",
        nothing,
        lambda w: w.gets(receipt(1, 1, exp=w.now.wall_low_ms - 1)),
        "EXPIRED",
    ),
    (
        "a late receipt that was accepted in time",
        lambda w: (w.gets(receipt(1, 1, exp=NOON_MS)), w.wait(MINUTE_MS)),
        lambda w: w.gets(receipt(1, 1, exp=NOON_MS)),
        "DUPLICATE",
    ),
]


@pytest.mark.parametrize(
    ("given", "comes", "word"),
    [row[1:] for row in DOCUMENTS],
    ids=[f"{sentence}: {word}" for sentence, _, _, word in DOCUMENTS],
)
def test_a_document_comes(given: Given, comes: Comes, word: str) -> None:
    world = World(M1, M2)
    given(world)
    before = world.image.kept
    assert comes(world) == word
    if word in {"ACCEPTED", "DUPLICATE"}:
        assert not world.image.kept.refusals
        return
    grave = {word: world.image.number} if word == "EQUIVOCATION" else {}
    unchanged = msgspec.structs.replace(before, refusals={word: 1}, grave=grave)
    assert world.image.kept == unchanged
    refused = world.journal[-1][0].body
    assert isinstance(refused, Refused)
    assert refused.name == word
    assert refused.detail


def test_after_a_swap_the_same_word_may_name_either_meter() -> None:
    world = World(M1, M2)
    receipt_of_400(world)
    world.site(msgspec.structs.replace(M1, serial="M9"), M2)
    assert world.gets(receipt(1, 400, serial="M9")) == "DUPLICATE"
    assert world.lists(500, entry(1, 400, serial="M9"), entry(2, 300)) == "ACCEPTED"
    assert world.lists(600, entry(1, 400), entry(2, 300)) == "ACCEPTED"


def admitted(world: World, raw: bytes) -> Admission:
    return admit_document(DocumentClaim(raw=raw, road=Road.LOCAL), world.image, world.now)


def test_the_record_of_a_site_document() -> None:
    body = World(M1, M2).journal[0][0].body
    assert isinstance(body, SiteInstalled)
    assert (body.seq, body.meters, body.signer, body.road) == (1, 2, "site-1", Road.MQTT)


def test_the_record_of_a_list_names_the_document_and_who_signed_it() -> None:
    given = allow_list(3, 900, entry(1, 800))
    raw = sign_list(given)
    admission = admitted(World(M1), raw)
    installed = ListInstalled(
        seq=3,
        digest=digest_of(payload_of(given)),
        signer="list-1",
        road=Road.LOCAL,
        as_of=LEDGER_MS + 900,
        entries=1,
    )
    assert admission.bodies == (installed,)
    assert admission.document == given
    assert admission.verified is not None
    assert admission.verified.raw == raw


def test_the_record_of_a_receipt_says_all_that_the_receipt_says() -> None:
    given = receipt(1, 5, ref="4471")
    admission = admitted(World(M1), sign_receipt(given))
    accepted = ReceiptAccepted(
        account=Account("A1"),
        meter=Serial("M1"),
        n=LEDGER_MS + 5,
        paid_at=LEDGER_MS + 5,
        digest=digest_of(payload_of(given)),
        signer="receipt-1",
        road=Road.LOCAL,
        ref="4471",
    )
    assert admission.bodies == (accepted,)


def test_what_is_acknowledged_again_is_neither_recorded_nor_archived() -> None:
    world = World(M1)
    raw = sign_receipt(receipt(1, 5))
    world.hand_in(raw)
    again = admitted(world, raw)
    assert (again.bodies, again.document, again.verified) == ((), None, None)


def test_an_accepted_receipt_says_paid_and_asks_for_the_closing() -> None:
    world = World(M1)
    world.gets(receipt(1, 5, ref="4471"))
    word, accepted = world.image.word("A1"), world.image.kept.proofs["A1"].received
    assert word is not None
    assert (word.standing, word.cut, word.ref) == (Standing.PAID, False, "4471")
    assert world.image.kept.asks == {"A1": Ask(n=LEDGER_MS + 5, meter="M1", accepted=accepted)}


# --- a flood of refusals ---


def test_a_flood_of_refusals_is_counted_and_not_written_down() -> None:
    world = World()
    for _ in range(REFUSALS_A_MINUTE_MAX + 5):
        assert world.hand_in(b"x") == "MALFORMED_ENVELOPE"
    assert len(world.journal) == REFUSALS_A_MINUTE_MAX
    world.wait(MINUTE_MS - 1)
    world.hand_in(b"x")
    assert len(world.journal) == REFUSALS_A_MINUTE_MAX
    world.wait(1)
    world.hand_in(b"x")
    refused = world.journal[-1][0].body
    assert isinstance(refused, Refused)
    assert refused.more == 6
    assert len(world.journal) == REFUSALS_A_MINUTE_MAX + 1


def test_a_refusals_detail_is_cut_to_a_bound() -> None:
    world = World()
    world.refuses("GARBAGE", "y" * 1_000)
    refused = world.journal[-1][0].body
    assert isinstance(refused, Refused)
    assert refused.detail == "y" * 300
