"""Roots that travel: who signs sees what, and nothing is signed that does not follow."""

from __future__ import annotations

import copy
import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import given, settings
from hypothesis import strategies as st
from patchtool.ceremonies.rotation import publish_root, revoke, rotate
from patchtool.keys.root_documents import Proposal, difference
from patchtool.keys.signing_keys import Keys, Role
from patchtool.repository.repository import Repository
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, Root

from tests.support.repository.publisher import NOW, PASSWORD, Publisher
from tests.support.repository.seen_by_clients import files, look, offered
from tests.support.trees.junk import places
from tests.support.trees.trees import Tree
from updater.errors import FormatError, InstallError, TrustError, UpdaterError
from updater.format.encoding.canonical import encode

ONE: Tree = {"f": b"1"}
THEN = dt.datetime.fromtimestamp(NOW, dt.timezone.utc)
Forge = Callable[[Root], None]


class Team:
    """Three people with a root key each, two of whom must sign; a machine with all other keys."""

    def __init__(self, folder: Path) -> None:
        self.publisher = Publisher(folder / "publisher", threshold=2)
        self.publisher.release("1.0", ONE)
        self.root = self.publisher.root
        self.people = [self._person(folder, n) for n in (1, 2, 3)]
        for person in self.people[1:]:
            (self.publisher.keys.folder / f"{person.folder.name}.pem").unlink()

    def _person(self, folder: Path, number: int) -> Keys:
        mine = folder / f"root-{number}"
        mine.mkdir()
        shutil.copy2(self.publisher.keys.folder / f"root-{number}.pem", mine)
        return Keys(mine, PASSWORD)

    @property
    def repository(self) -> Repository:
        return self.publisher.repository()

    def propose(self, role: Role = "online") -> Proposal:
        done = rotate(self.repository, role, propose=True)
        assert done.proposal is not None
        return sent(done.proposal)

    def sees(self, memory: Path) -> set[str]:
        catalogue = look(self.publisher.folder, memory, self.root, self.publisher.now)
        return offered(self.publisher.folder, catalogue)


def forget_new_root_keys(team: Team) -> None:
    """What was made on this machine is with a fourth person now."""
    for path in team.publisher.keys.paths("root")[1:]:
        path.unlink()


def sent(proposal: Proposal) -> Proposal:
    """As a file that travels."""
    return Proposal.parse(proposal.data)


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


@pytest.mark.parametrize("role", ["root", "targets", "online"])
@pytest.mark.parametrize("verb", ["rotate", "revoke"])
def test_nothing_is_published_before_enough_have_signed_and_all_of_it_then(
    verb: str, role: Role, team: Team, tmp_path: Path
) -> None:
    team.sees(tmp_path / "old")
    proposal = team.propose(role)
    publish_root(team.repository, sent(proposal.signed(team.people[2].signers("root"))))
    if verb == "revoke":
        forget_new_root_keys(team)
        team.sees(tmp_path / "old")
        last = team.repository.look().keys_of("timestamp" if role == "online" else role)[-1].keyid
        key = team.repository.look().keys_of("root")[1].keyid if role == "root" else None
        done = revoke(team.repository, role, key=key, propose=True)
        assert done.proposal is not None
        proposal = sent(done.proposal)
        assert team.sees(tmp_path / "old") == team.sees(tmp_path / "half") == {"1.0"}
        with pytest.raises(InstallError, match="to be signed by 1 more of the present"):
            publish_root(team.repository, proposal)
        done = publish_root(team.repository, sent(proposal.signed(team.people[2].signers("root"))))
        named = team.repository.look().keys_of("timestamp" if role == "online" else role)
        assert last in [k.keyid for k in named]
        assert len(done.retired) == (0 if role == "root" else 1)
    team.publisher.promote("1.0")
    assert team.sees(tmp_path / "old") == team.sees(tmp_path / "new") == {"1.0"}


def test_a_new_person_proposes_a_key_that_never_leaves_their_machine(
    team: Team, tmp_path: Path
) -> None:
    mine = Keys(tmp_path / "mine", PASSWORD)
    done = rotate(Repository(team.publisher.folder, mine, NOW), "root", propose=True)
    assert [path.parent for path in done.made] == [tmp_path / "mine"]
    assert done.proposal is not None
    proposal = done.proposal
    assert (proposal.lacking.present, proposal.lacking.next) == (2, 1)
    for person in team.people[:2]:
        proposal = sent(proposal).signed(person.signers("root"))
    publish_root(Repository(team.publisher.folder, mine, NOW), proposal)
    assert team.sees(tmp_path / "m") == {"1.0"}


def test_signatures_are_counted_once_a_person_and_only_of_those_who_may(team: Team) -> None:
    proposal = team.propose()
    assert (proposal.lacking.present, proposal.lacking.next) == (1, 1)
    again = sent(proposal.signed(team.publisher.keys.signers("root")))
    assert again.lacking == proposal.lacking
    stranger = CryptoSigner.generate_ed25519()
    with pytest.raises(InstallError, match="none of the root keys at hand"):
        proposal.signed([stranger])
    proposal.root.sign(stranger, append=True)
    assert proposal.lacking == again.lacking
    complete = sent(proposal.signed(team.people[1].signers("root")))
    assert not complete.lacking
    assert stranger.public_key.keyid not in complete.root.signatures


def test_a_signature_of_other_bytes_counts_for_nothing(team: Team) -> None:
    proposal = team.propose()
    signed = proposal.signed(team.people[1].signers("root"))
    signed.root.signed.version += 1
    assert signed.lacking.present == 2
    assert sent(signed).tidied().root.signatures == {}


def test_who_signs_reads_in_words_what_would_change(team: Team) -> None:
    proposal = team.propose("online")
    words = "\n".join(difference(proposal.present, proposal.root.signed))
    new = proposal.root.signed.roles["timestamp"].keyids[-1][:16]
    assert "root 1 -> 2, valid until 20" in words
    assert f"online key for timestamp {new} joins" in words
    assert f"online key for snapshot {new} joins" in words
    assert "must sign" not in words
    done = rotate(team.repository, "root", threshold=3, propose=True)
    assert done.proposal is not None
    assert "  root: 3 of 4 keys must sign, before: 2 of 3" in done.words
    same = team.repository.propose(copy.deepcopy(proposal.present))
    assert difference(same.present, same.root.signed)[1:] == ["  the same keys"]


def test_a_proposal_is_checked_from_any_root_the_signer_ever_had(team: Team) -> None:
    first = team.root
    roles: list[Role] = ["root", "targets", "online"]
    for role in roles:
        proposal = team.propose(role)
        publish_root(team.repository, proposal.signed(team.people[1].signers("root")))
        forget_new_root_keys(team)
    proposal = team.propose()
    for metadata in team.repository.look().roots():
        proposal.check(metadata.to_bytes(), THEN)
    proposal.check(first, THEN)


def test_the_proposal_of_another_repository_is_refused(team: Team, tmp_path: Path) -> None:
    other = Team(tmp_path / "other")
    with pytest.raises(TrustError, match="does not begin with the root 1 you have") as caught:
        other.propose().check(team.root, THEN)
    assert "sign nothing" in caught.value.hint
    before = files(team.publisher.folder)
    with pytest.raises(TrustError, match="does not follow root 1"):
        publish_root(team.repository, other.propose())
    assert files(team.publisher.folder) == before


def test_a_proposal_that_was_overtaken_is_refused(team: Team) -> None:
    late = team.propose("targets")
    proposal = team.propose("online")
    publish_root(team.repository, proposal.signed(team.people[1].signers("root")))
    with pytest.raises(TrustError, match="does not follow root 2"):
        publish_root(team.repository, late.signed(team.people[1].signers("root")))


def test_a_present_root_that_the_sender_made_up_is_refused(team: Team) -> None:
    """It would make the difference look harmless."""
    proposal = team.propose()
    thief = CryptoSigner.generate_ed25519()
    forged = copy.deepcopy(team.repository.look().roots()[-1])
    forged.signed.version = 2
    forged.signed.add_key(thief.public_key, "root")
    forged.signed.roles["root"].threshold = 1
    forged.sign(thief)
    after = copy.deepcopy(forged)
    after.signed.version = 3
    with pytest.raises(TrustError, match="root 2 is not signed by who may"):
        sent(Proposal((*proposal.published, forged), after)).check(team.root, THEN)


def skips(root: Root) -> None:
    root.version += 1


def repeats(root: Root) -> None:
    root.version -= 1


def hides(root: Root) -> None:
    root.unrecognized_fields["note"] = "harmless"


def renames(root: Root) -> None:
    """Another key under the name of one that is known."""
    keyid = root.roles["root"].keyids[0]
    root.keys[keyid] = CryptoSigner.generate_ed25519().public_key
    root.keys[keyid].keyid = keyid


def is_over(root: Root) -> None:
    root.expires = THEN


def asks_for_too_many(root: Root) -> None:
    root.roles["targets"].threshold = 3


def asks_for_nobody(root: Root) -> None:
    root.roles["timestamp"].keyids.clear()


def names_nobody(root: Root) -> None:
    root.roles["snapshot"].keyids.append("00")


def mixes_roles(root: Root) -> None:
    root.add_key(root.keys[root.roles["timestamp"].keyids[0]], "targets")


def mixes_roles_by_half(root: Root) -> None:
    root.add_key(root.keys[root.roles["targets"].keyids[0]], "timestamp")


def counts_twice(root: Root) -> None:
    key = copy.deepcopy(root.keys[root.roles["root"].keyids[0]])
    key.keyid = "0" * 64
    key.keyval["public"] = key.keyval["public"].upper()
    root.add_key(key, "root")


def speaks_to_the_terminal(root: Root) -> None:
    """Rubs out the line that says what joins."""
    key = CryptoSigner.generate_ed25519().public_key
    key.keyid = "\x1b[2K\r  the same keys"
    root.add_key(key, "root")


def is_inconsistent(root: Root) -> None:
    root.consistent_snapshot = False


def is_of_another_type(root: Root) -> None:
    root.add_key(SSlibKey.from_crypto(generate_private_key(SECP256R1()).public_key()), "root")


@pytest.mark.parametrize(
    ("forge", "error", "reason"),
    [
        (skips, TrustError, "root 3 does not follow root 1"),
        (repeats, TrustError, "root 1 does not follow root 1"),
        (hides, TrustError, "cannot be shown in words"),
        (renames, TrustError, "another key under the name"),
        (is_over, InstallError, "has expired"),
        (asks_for_too_many, InstallError, "2 targets keys cannot meet a threshold of 3"),
        (asks_for_nobody, InstallError, "0 timestamp keys cannot meet a threshold of 1"),
        (names_nobody, InstallError, "names a key that is not there"),
        (mixes_roles, InstallError, r"the online key \w+ is the targets key too"),
        (mixes_roles_by_half, InstallError, r"the online key \w+ is the targets key too"),
        (counts_twice, InstallError, "would count twice"),
        (speaks_to_the_terminal, InstallError, "no digest"),
        (is_inconsistent, InstallError, "no consistent snapshot"),
        (is_of_another_type, InstallError, "not an Ed25519 key"),
    ],
)
def test_a_proposal_nobody_should_sign_is_refused_though_it_is_signed(
    forge: Forge, error: type[UpdaterError], reason: str, team: Team
) -> None:
    proposal = team.propose("targets")
    forge(proposal.root.signed)
    for person in team.people[:2]:
        proposal.root.sign(person.signers("root")[0], append=True)
    before = files(team.publisher.folder)
    with pytest.raises(error, match=reason) as caught:
        sent(proposal).check(team.root, THEN)
    assert caught.value.hint
    assert str(caught.value).isprintable()
    with pytest.raises(error, match=reason):
        publish_root(team.repository, sent(proposal))
    assert files(team.publisher.folder) == before


def test_other_ceremonies_do_not_undo_a_revocation_that_waits_for_signatures(
    team: Team, tmp_path: Path
) -> None:
    publish_root(team.repository, team.propose("online").signed(team.people[1].signers("root")))
    done = revoke(team.repository, "online", propose=True)
    assert done.proposal is not None
    rotate(team.repository, "release", at_once=True)
    rotate(team.repository, "online", propose=True)
    assert team.sees(tmp_path / "m") == {"1.0"}
    publish_root(team.repository, done.proposal.signed(team.people[1].signers("root")))
    for role in ("timestamp", "channels.notes"):
        (key,) = team.repository.look().keys_of(role)
        assert key.keyid in done.proposal.root.signed.roles["snapshot"].keyids
        assert team.repository.look().is_signed(role)
    assert team.sees(tmp_path / "m") == team.sees(tmp_path / "new") == {"1.0"}


def test_a_root_that_would_leave_what_is_published_unsigned_is_not_published(team: Team) -> None:
    """The old online key is to end, and nobody has signed with the new one yet."""
    proposal = team.propose("online")
    publish_root(team.repository, proposal.signed(team.people[1].signers("root")))
    done = revoke(team.repository, "online", propose=True)
    assert done.proposal is not None
    Repository(team.publisher.folder, old_keys(team), NOW).renew(["snapshot"])
    with pytest.raises(InstallError, match="snapshot is not signed by a key that root 3 names"):
        publish_root(team.repository, done.proposal.signed(team.people[1].signers("root")))


def old_keys(team: Team) -> Keys:
    folder = team.publisher.folder.parent / "old-keys"
    folder.mkdir()
    shutil.copy2(team.publisher.keys.folder / "online.pem", folder)
    return Keys(folder, PASSWORD)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]\n",
        encode({"format": 2}),
        encode({"format": 1, "published": [], "root": {}}),
        encode({"format": 1, "published": [5], "root": 5}),
        encode({"format": 1, "published": [{"signed": {}, "signatures": []}], "root": {}}),
    ],
)
def test_what_is_no_proposal_is_told(data: bytes) -> None:
    with pytest.raises(FormatError):
        Proposal.parse(data)


def test_other_metadata_is_no_root(team: Team) -> None:
    document = json.loads(team.propose().data)
    targets = Metadata[Any].from_file(str(team.publisher.folder / "metadata/1.targets.json"))
    with pytest.raises(FormatError, match="root expected, got targets"):
        Proposal.parse(encode({**document, "root": targets.to_dict()}))


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.text(max_size=5),
    st.sampled_from([[], {}, "2999-01-01T00:00:00Z", "0001-01-01T00:00:00Z", [[]], {"a": {}}]),
)


@pytest.fixture(scope="module")
def travelling(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, Keys]:
    team = Team(tmp_path_factory.mktemp("team"))
    return team.root, team.propose().data, team.people[1]


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_proposal_with_anything_in_any_place_is_refused_or_signed_and_nothing_else(
    data: st.DataObject, travelling: tuple[bytes, bytes, Keys]
) -> None:
    root, original, _ = travelling
    document = json.loads(original)
    *outer, last = data.draw(st.sampled_from(places(document)[1:]))
    inner = document
    for key in outer:
        inner = inner[key]
    if data.draw(st.booleans()):
        inner[last] = data.draw(JUNK)
    else:
        del inner[last]
    try:
        proposal = Proposal.parse(encode(document))
        proposal.check(root, THEN)
        assert difference(proposal.present, proposal.root.signed)
        assert str(proposal.tidied().lacking)
    except UpdaterError:
        pass
