"""Roots at the command line: what is written, a gateway follows; what it would refuse, is not."""

import json
from pathlib import Path

import msgspec
import pytest

from gateway.core.rotation import STEPS_MAX, load_root, verify_root
from gateway.core.trust import Algorithm, Revocation, Role, Root
from gateway.host.clock import wall_ms
from tests.rooms.utility.desk import Desk
from tests.signing import KEYS, ROOT, ROOT_RAW, sign_root

OLD = ("root-1", "root-2")
SPARE = ("root-4", "root-5", "root-6")


@pytest.fixture(params=list(Algorithm))
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    return Desk(tmp_path, request.param).equip()


def files(desk: Desk, option: str, *kids: str) -> tuple[object, ...]:
    return tuple(part for kid in kids for part in (option, desk / f"keys/{kid}.json"))


def step(
    desk: Desk, kind: str, *options: object, keys: tuple[str, ...] = OLD
) -> tuple[object, ...]:
    """A root after root.json and whatever the chain holds already."""
    return (
        *("root", kind, "--root", desk / "keys/root.json", "--chain", desk / "chain.jws"),
        *("--out", desk / "out"),
        *files(desk, "--key", *keys),
        *options,
    )


def new_key(desk: Desk, kid: str, role: Role) -> Path:
    path = desk / f"keys/{kid}.json"
    desk.run("key", "--kid", kid, "--role", role, "--out", path)
    return path


def spare_roots(desk: Desk) -> tuple[object, ...]:
    paths = [new_key(desk, kid, Role.ROOT) for kid in SPARE]
    return tuple(part for path in paths for part in ("--add", path))


def without_old() -> tuple[str, ...]:
    return tuple(part for at in (1, 2, 3) for part in ("--remove", f"root-{at}"))


def walked(desk: Desk) -> Root:
    """Where a gateway with root.json is after the chain file, line by line."""
    root = desk.root()
    for line in (desk / "chain.jws").read_bytes().splitlines():
        follower, _ = verify_root(line, root)
        assert follower.seq == root.seq + 1
        root = follower
    return root


def kids(root: Root, role: Role) -> list[str]:
    return [key.kid for key in root.of_role(role)]


def test_the_first_root_over_keys_that_are_there(desk: Desk) -> None:
    two = json.loads((desk / "keys/root-2.json").read_bytes())
    del two["private"]  # of its owner's key we have the public half
    (desk / "keys/root-2.json").write_text(json.dumps(two))
    named = files(desk, "--key", "root-1", "root-2", "root-3", "receipt-1", "order-1")
    made = json.loads(desk.run("root", "init", *named, "--out", desk / "first.json", "--json"))
    first = load_root((desk / "first.json").read_bytes())
    assert [key.kid for key in first.keys] == [
        "root-1",
        "root-2",
        "root-3",
        "receipt-1",
        "order-1",
    ]
    assert first.thresholds == {"root": 2}
    assert made["signed_by"] == ["root-1", "root-3"]
    assert "signed by root-1, root-3" in desk.run(
        "root", "init", *named, "--out", desk / "first.json", "--threshold", "order=1"
    )


def test_a_first_root_that_is_none_is_not_signed(desk: Desk) -> None:
    for named, options, says in (
        (("site-1",), (), "no root key among them; name root keys with --key"),
        (("root-1",), (), "role root needs 2 keys and has fewer; change which"),
        (("root-1", "root-2", "root-1"), (), "two keys have one kid"),
        (("root-1", "root-2"), ("--threshold", "root=0"), "a count above zero"),
    ):
        said = desk.refuses(
            *("root", "init", *files(desk, "--key", *named), *options, "--out", desk / "out")
        )
        assert said.startswith("the root: ")
        assert says in said
    assert not (desk / "out").exists()


def test_a_first_root_that_too_few_sign_is_not_written(desk: Desk) -> None:
    for at in (1, 2):
        path = desk / f"keys/root-{at}.json"
        file = json.loads(path.read_bytes())
        del file["private"]
        path.write_text(json.dumps(file))
        named = files(desk, "--key", "root-1", "root-2")
        said = desk.refuses("root", "init", *named, "--out", desk / "out")
        refusal = "BELOW_THRESHOLD: 1 of 2 keys of role root signed; name" if at == 1 else "nobody"
        assert f"the root: {refusal}" in said
    assert not (desk / "out").exists()


def test_a_key_takes_anothers_place(desk: Desk) -> None:
    new_key(desk, "list-2", Role.LIST)
    said = desk.run(*step(desk, "rotate", *files(desk, "--add", "list-2"), "--remove", "list-1"))
    assert f"{desk / 'out'}: seq 2, 12 keys, expires 20" in said
    assert f"{desk / 'chain.jws'}: roots after the first, one a line: 1" in said
    assert "Careful" not in said
    root = walked(desk)
    assert kids(root, Role.LIST) == ["list-2"]
    assert (desk / "out").read_bytes() + b"\n" == (desk / "chain.jws").read_bytes()
    assert root.expires == root.issued_at + 1_826 * 86_400_000


def test_root_keys_hand_over_to_new_ones_step_by_step(desk: Desk) -> None:
    desk.run(
        *step(desk, "rotate", *spare_roots(desk), *without_old(), keys=(*OLD, *SPARE[:2])),
        *("--expires", "2040-01-01T00:00:00Z"),
    )
    assert kids(walked(desk), Role.ROOT) == list(SPARE)
    assert walked(desk).expires == 2_208_988_800_000
    said = desk.refuses(*step(desk, "rotate", "--remove", "badge-1"))
    assert "UNKNOWN_KEY: the root names no key 'root-1'; sign with keys of" in said
    made = json.loads(desk.run(*step(desk, "rotate", "--remove", "badge-1", "--json", keys=SPARE)))
    assert made["chain"] == [str(desk / "chain.jws"), 2]
    assert made["nobody_signs"] == ["badge"]
    assert walked(desk).seq == 3


def test_a_step_that_either_side_does_not_vouch_for_is_not_written(desk: Desk) -> None:
    added = spare_roots(desk)
    new = (*added, *without_old())
    by_old = desk.refuses(*step(desk, "rotate", *new))
    assert "BELOW_THRESHOLD: too few of the root keys that it names signed it; name more" in by_old
    by_new = desk.refuses(*step(desk, "rotate", *new, keys=SPARE))
    assert "BELOW_THRESHOLD: 0 of 2 keys of role root signed; name more root keys" in by_new
    by_one = desk.refuses(*step(desk, "rotate", *added, keys=("root-1", "root-1", *SPARE)))
    assert "BELOW_THRESHOLD: 1 of 2" in by_one
    by_others = desk.refuses(*step(desk, "rotate", keys=("site-1", *OLD)))
    assert "key site-1: a key of role site may not sign fg-root+jws; give" in by_others
    assert not (desk / "out").exists()
    assert not (desk / "chain.jws").exists()


def test_slips_of_the_pen_in_a_change_are_named(desk: Desk) -> None:
    for options, says in (
        (("--remove", "list-9"), "--remove: the old root names no key list-9; it has root-1, "),
        (files(desk, "--add", "list-1"), "--add: list-1 is a key of the old root; give it a new"),
        (("--threshold", "root=4"), "the root: role root needs 4 keys and has fewer; change"),
        (("--remove", "recovery-1"), "the root: role recovery needs 2 keys and has fewer"),
        (("--remove", "recovery-1", "--threshold", "recovery=1"), "only the recovery set itself"),
    ):
        assert says in desk.refuses(*step(desk, "rotate", *options))
    assert "say for instance root=2" in desk.run(
        *step(desk, "rotate", "--threshold", "boss=2"), status=2
    )


def test_one_key_under_two_names_is_no_two_keys(desk: Desk) -> None:
    file = json.loads((desk / "keys/root-1.json").read_bytes())
    twin = desk / "keys/twin.json"
    twin.write_text(json.dumps({**file, "kid": "root-4"}))
    twin.chmod(0o600)
    assert "two kids have one public key" in desk.refuses(*step(desk, "rotate", "--add", twin))


def test_a_revoked_key_is_in_the_root_with_its_instant(desk: Desk) -> None:
    after = ("--kid", "receipt-1", "--after", "2026-11-19T14:00:00+05:30")
    said = desk.run(*step(desk, "revoke", *after))
    assert "seq 2, 12 keys, 1 revocations, expires" in said
    assert "Careful: too few receipt keys are left to sign; name one with --add." in said
    assert walked(desk).revoked == (Revocation(kid="receipt-1", after=1_795_077_000_000),)
    assert "--after: receipt-1 is revoked since 1795077000000 already; give an earlier" in (
        desk.refuses(*step(desk, "revoke", *after))
    )
    new_key(desk, "receipt-2", Role.RECEIPT)
    desk.run(
        *step(desk, "revoke", "--kid", "receipt-1", "--after", "1795000000000"),
        *(*files(desk, "--add", "receipt-2"), "--remove", "receipt-1"),
    )
    root = walked(desk)
    assert kids(root, Role.RECEIPT) == ["receipt-2"]
    assert root.revoked_after("receipt-1") == 1_795_000_000_000
    assert "revoked   receipt-1: what it signed after 2026-11-18T11:06:40+00:00" in desk.run(
        "root", "show", desk / "chain.jws"
    )


def test_a_revocation_of_tomorrow_is_none(desk: Desk) -> None:
    after = ("--kid", "receipt-1", "--after", str(wall_ms() + 86_400_000))
    assert "--after: it is yet to come" in desk.refuses(*step(desk, "revoke", *after))


def test_an_unknown_key_is_not_revoked(desk: Desk) -> None:
    said = desk.refuses(*step(desk, "revoke", "--kid", "receipt-9", "--after", "1795000000000"))
    assert said.startswith("--kid: the old root names no key receipt-9; it has root-1, root-2")
    assert "is not a time" in desk.run(
        *step(desk, "revoke", "--kid", "receipt-1", "--after", "now"), status=2
    )


def test_a_revoked_root_key_does_not_sign_its_own_end(desk: Desk) -> None:
    own = ("--kid", "root-1", "--after", "1795000000000")
    assert "BELOW_THRESHOLD: too few of the root keys" in desk.refuses(*step(desk, "revoke", *own))
    desk.run(*step(desk, "revoke", *own, keys=("root-2", "root-3")))
    assert walked(desk).revoked_after("root-1") == 1_795_000_000_000


def test_the_recovery_set_replaces_lost_root_keys(desk: Desk) -> None:
    sealed = ("recovery-1", "recovery-2")
    desk.run(*step(desk, "recover", *spare_roots(desk), *without_old(), keys=(*sealed, *SPARE[:2])))
    root = walked(desk)
    assert kids(root, Role.ROOT) == list(SPARE)
    assert kids(root, Role.RECOVERY) == list(sealed)
    desk.run(*step(desk, "rotate", "--remove", "badge-1", keys=SPARE[1:]))
    assert walked(desk).seq == 3


def test_only_the_recovery_set_changes_the_recovery_set(desk: Desk) -> None:
    new_key(desk, "recovery-3", Role.RECOVERY)
    change = (*files(desk, "--add", "recovery-3"), "--remove", "recovery-1")
    assert "ROLE_NOT_ALLOWED: only the recovery set itself may change it; use `root recover`" in (
        desk.refuses(*step(desk, "rotate", *change))
    )
    desk.run(*step(desk, "recover", *change, keys=("recovery-1", "recovery-2", *OLD)))
    assert kids(walked(desk), Role.RECOVERY) == ["recovery-2", "recovery-3"]


def test_a_recovery_takes_the_whole_set_and_nothing_else_takes_it(desk: Desk) -> None:
    one = desk.refuses(*step(desk, "recover", keys=("recovery-1", *OLD)))
    assert "BELOW_THRESHOLD: 1 of 2 recovery keys sign; name recovery-1, recovery-2 with" in one
    rotated = desk.refuses(*step(desk, "rotate", keys=("recovery-2", *OLD)))
    assert rotated.startswith("key recovery-2: a recovery key, and nothing is lost; use `root rec")
    named = files(desk, "--key", *OLD)
    desk.run("root", "init", *named, "--out", desk / "bare.json")
    said = desk.refuses(
        *("root", "recover", "--root", desk / "bare.json", "--out", desk / "out", *named)
    )
    assert said == "--root: it names no recovery set; use `root rotate`"


def test_a_root_of_the_middle_goes_on_with_the_same_chain(desk: Desk) -> None:
    for _ in range(2):
        desk.run(*step(desk, "rotate"))
        (desk / "middle.json").write_bytes((desk / "chain.jws").read_bytes().splitlines()[0])
    from_middle = ("--root", desk / "middle.json", "--chain", desk / "chain.jws")
    desk.run("root", "rotate", *from_middle, "--out", desk / "out", *files(desk, "--key", *OLD))
    assert walked(desk).seq == 4


def test_a_root_can_be_made_without_a_chain_file(desk: Desk) -> None:
    keys = files(desk, "--key", *OLD)
    for old, new in (("keys/root.json", "two.json"), ("two.json", "three.json")):
        desk.run("root", "rotate", "--root", desk / old, "--out", desk / new, *keys)
    three = load_root((desk / "three.json").read_bytes())
    assert three.seq == 3


def test_a_chain_of_another_root_is_not_gone_on_with(desk: Desk) -> None:
    desk.run("keys", "--dir", desk / "others")
    desk.run(*step(desk, "rotate"))
    before = (desk / "chain.jws").read_bytes()
    other = tuple(
        desk / "others/root.json" if part == desk / "keys/root.json" else part
        for part in step(desk, "rotate")
    )
    assert "chain.jws: MALFORMED_PAYLOAD: kid root-1 is another key's already; give the whole" in (
        desk.refuses(*other)
    )
    (desk / "chain.jws").write_bytes(before * 2)
    assert "chain.jws: line 2: " not in desk.run(*step(desk, "rotate"))


def test_a_chain_with_a_gap_is_refused_at_its_line(desk: Desk) -> None:
    for _ in range(3):
        desk.run(*step(desk, "rotate"))
    one, _, three = (desk / "chain.jws").read_bytes().splitlines()
    (desk / "chain.jws").write_bytes(b"\n".join((one, three)))
    assert "chain.jws: line 2: ROOT_STEP_MISSING: root 4 does not follow 2; root 3 comes" in (
        desk.refuses(*step(desk, "rotate"))
    )


def test_a_chain_has_no_more_steps_than_a_gateway_follows(tmp_path: Path) -> None:
    desk = Desk(tmp_path).equip()
    (desk / "keys/root.json").write_bytes(ROOT_RAW)
    for at in (1, 2):
        (desk / f"keys/root-{at}.json").unlink()
        KEYS.roots[at - 1].save(desk / f"keys/root-{at}.json")
    roots = (msgspec.structs.replace(ROOT, seq=seq) for seq in range(2, STEPS_MAX + 2))
    lines = [sign_root(root) + b"\n" for root in roots]
    (desk / "chain.jws").write_bytes(b"".join(lines))
    assert "chain.jws: TOO_MANY_STEPS: a gateway follows 1024" in desk.refuses(
        *step(desk, "rotate")
    )
    (desk / "chain.jws").write_bytes(b"".join(lines[:-1]))
    assert "one a line: 1024" in desk.run(*step(desk, "rotate"))


def test_a_root_that_has_run_out_already_is_not_signed(desk: Desk) -> None:
    said = desk.refuses(*step(desk, "rotate", "--expires", "2020-01-01T00:00:00Z"))
    assert said == "--expires: every gateway would alarm at once; give a later time"


def test_neither_a_key_nor_the_old_root_is_written_over(desk: Desk) -> None:
    for name, says in (
        ("root-2", "there is a private key in it; keys are never written over: name another file"),
        ("root", "it is the old root; name a new file: the gateways that have the old one are led"),
    ):
        file = desk / f"keys/{name}.json"
        before = file.read_bytes()
        assert f"{file}: {says}" in desk.refuses(*step(desk, "rotate", "--out", file))
        assert file.read_bytes() == before
    assert not (desk / "chain.jws").exists()


def test_what_a_root_says_is_shown(desk: Desk) -> None:
    alg = desk.root().keys[0].alg
    shown = desk.run("root", "show", desk / "keys/root.json").splitlines()
    assert shown[0].startswith("root of trust, seq 1, issued 20")
    assert f"  root      2 of: root-1 ({alg}), root-2 ({alg}), root-3 ({alg})" in shown
    assert f"  recovery  2 of: recovery-1 ({alg}), recovery-2 ({alg})" in shown
    told = json.loads(desk.run("root", "show", desk / "keys/root.json", "--json"))
    assert shown[-1] == f"SHA-256 of the file: {told['sha256']}"
    assert told["root"]["seq"] == 1
    assert "paid.csv: MALFORMED_ENVELOPE" in desk.refuses("root", "show", desk / "paid.csv")
