"""``patchtool keys``: what people type, what they read, and what no output ever holds."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from patchtool.cli.parser import main
from patchtool.keys.signing_keys import PASSWORD

from tests.support.repository.seen_by_clients import files

SECRET = "correct horse"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with keys of threshold two, kits and a repository that offers something."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PASSWORD, SECRET)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    (tmp_path / "1.0").mkdir()
    (tmp_path / "1.0/f").write_text("1")
    for line in (
        "keys new keys --threshold 2 --kits kits",
        "init repo --app notes --keys keys",
        "add-release repo --app notes --version 1.0 1.0 --keys keys --quiet",
        "promote repo --app notes --version 1.0 --keys keys",
    ):
        assert run(line) == 0
    return tmp_path


def run(line: str) -> int:
    return main(line.split())


def said(capsys: pytest.CaptureFixture[str], line: str, code: int = 0) -> tuple[str, str]:
    """What a command says on stdout and stderr."""
    capsys.readouterr()
    assert run(line) == code
    return capsys.readouterr()


def document(capsys: pytest.CaptureFixture[str], line: str, code: int = 0) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(said(capsys, f"{line} --json", code)[0])
    return parsed


def refused(capsys: pytest.CaptureFixture[str], line: str, code: int = 7) -> tuple[str, str]:
    """Error and hint of a command that changes nothing at all."""
    before = files(Path())
    out, err = said(capsys, line, code)
    assert out == ""
    error, hint = err.splitlines()[-2:]
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    assert files(Path()) == before
    return error, hint


def away(*kits: int) -> None:
    """Put root keys where the kits are."""
    for number in kits:
        Path(f"keys/root-{number}.pem").unlink()


def test_the_drill_has_a_line_a_loss_and_an_exit_code_for_ci(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, _ = said(capsys, "keys drill repo --keys keys")
    lines = out.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("ok: ") for line in lines)
    told = document(capsys, "keys drill repo --keys keys")
    assert [r["survived"] for r in told["rehearsals"]] == [True] * 5
    away(1)
    out, err = said(capsys, "keys drill repo --keys keys", 7)
    assert out.startswith("FAILED: a root key: 2 root keys are at hand, and 2 must sign")
    assert "error: clients would not survive the loss of a root key" in err


def test_keys_are_listed_by_what_they_may_sign(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, "keys list repo")
    held = document(capsys, "keys list repo")
    assert held["threshold"] == 2
    short = {role: ", ".join(k[:8] for k in ids) for role, ids in held["keys"].items()}
    assert out.splitlines() == [
        f"root: {short['root']} (2 must sign)",
        f"targets: {short['targets']}",
        f"online: {short['timestamp']}",
        f"release (app.notes): {short['app.notes']}",
    ]


def test_a_rotation_and_a_revocation_say_what_they_did(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, "keys rotate repo --role online --keys keys")
    assert "online key for timestamp" in out
    assert "new key: keys/online-2.pem" in out
    out, _ = said(capsys, "keys revoke repo --role online --keys keys")
    assert "ends" in out
    assert "signs nothing any more: keys/revoked-online.pem" in out
    done = document(capsys, "keys rotate repo --role release --keys keys --at-once")
    assert (done["made"], done["retired"]) == (
        ["keys/release-2.pem"],
        ["keys/revoked-release.pem"],
    )
    assert done["published"] is True
    assert run("doctor repo") == 0


def test_a_key_to_end_may_be_named_by_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "keys rotate repo --role root --keys keys")
    before = document(capsys, "keys list repo")["keys"]["root"]
    said(capsys, "keys revoke repo --role root --key root-1.pem --keys keys")
    assert len(document(capsys, "keys list repo")["keys"]["root"]) == len(before) - 1
    assert not Path("keys/root-1.pem").exists()


def test_a_root_is_signed_by_people_who_see_it_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    away(2, 3)
    error, hint = refused(capsys, "keys rotate repo --role targets --keys keys")
    assert "not all root signatures needed are at hand" in error
    assert "--proposal" in hint
    line = "keys rotate repo --role targets --keys keys --proposal next"
    out, _ = said(capsys, line)
    assert "not published yet: next: to be signed by 1 more of the present root keys" in out
    assert not Path("repo/metadata/2.root.json").exists()
    refused(capsys, line)
    error, _ = refused(capsys, "keys publish-root repo next --keys keys")
    assert "to be signed by 1 more" in error
    error, _ = refused(capsys, "keys sign-root next --keys kits/kit-2")
    assert "nobody is here to agree" in error
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    answers = ["", "n", "yes"]
    monkeypatch.setattr("builtins.input", lambda _: answers.pop(0))
    for code in (10, 10, 0):
        out, err = said(capsys, "keys sign-root next --keys kits/kit-2", code)
        assert "root 1 -> 2" in err
        assert "targets key" in err
    assert "enough signatures" in out
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    assert document(capsys, "keys sign-root next --keys kits/kit-3 --yes")["lacking"] == {
        "present": 0,
        "next": 0,
    }
    assert document(capsys, "keys publish-root repo next --keys keys")["published"] is True
    assert Path("repo/metadata/2.root.json").exists()


def test_whoever_has_no_root_of_their_own_signs_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    away(2, 3)
    assert run("keys rotate repo --role targets --keys keys --proposal next") == 0
    Path("kits/kit-2/root.json").rename("mine.json")
    error, hint = refused(capsys, "keys sign-root next --keys kits/kit-2 --yes")
    assert "a forged proposal would look like a genuine one" in error
    assert "--root FILE" in hint
    said(capsys, "keys sign-root next --keys kits/kit-2 --yes --root mine.json")


def test_a_proposal_of_another_repository_raises_the_alarm(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("keys new others --threshold 2") == 0
    assert run("init other --app notes --keys others") == 0
    Path("others/root-1.pem").unlink()
    Path("others/root-2.pem").unlink()
    assert run("keys rotate other --role targets --keys others --proposal next") == 0
    error, hint = refused(capsys, "keys sign-root next --keys kits/kit-2 --yes", 4)
    assert "does not begin with the root 1 you have" in error
    assert "sign nothing" in hint


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("keys new more --threshold 3 --root-keys 2", 7, "cannot meet a threshold of 3"),
        ("keys new keys", 7, "is there already"),
        ("keys new repo/keys", 7, "lies inside the repository"),
        ("keys new more --kits repo/kits", 7, "lies inside the repository"),
        ("keys rotate repo --role online --keys keys --threshold 2", 7, "only root has"),
        ("keys rotate repo --role online --keys keys --app notes", 7, "only release keys"),
        ("keys rotate repo --role release --keys keys --app noets", 7, "does not know noets"),
        ("keys rotate repo --role root --keys keys --threshold 9", 7, "threshold of 9"),
        ("keys rotate repo --role release --keys repo/keys", 7, "lies inside the repository"),
        ("keys rotate repo --role release --keys none", 7, "no targets key in none"),
        ("keys revoke repo --role online --keys keys", 7, "is the last one"),
        ("keys revoke repo --role root --keys keys", 7, "which root key ends?"),
        ("keys revoke repo --role root --keys keys --key zz", 7, "0 root keys begin with 'zz'"),
        ("keys revoke repo --role root --keys keys --key root-9.pem", 7, "root-9.pem"),
        ("keys rotate none --role root --keys keys", 7, "none is not a repository"),
        ("keys sign-root none --keys keys", 7, "reading none"),
        ("keys sign-root keys/root.json --keys keys", 5, "is no proposed root"),
        ("keys publish-root repo none --keys keys", 7, "reading none"),
        ("keys drill none --keys keys", 7, "none"),
        ("keys list none", 7, "none"),
        ("init again --app notes --keys keys --threshold 2", 7, "says how many must sign"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(
    line: str, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(Path())
    out, err = said(capsys, line, code)
    assert out == ""
    assert words in err
    assert "\nhint: " in err
    after = files(Path())
    assert {n for n in after if after[n] != before.get(n)} <= {"keys/root-4.pem"}
    assert "Traceback" not in err


def test_neither_key_nor_password_is_ever_printed_or_served(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = Path("keys/online.pem").read_text()
    monkeypatch.setenv("UPSWAP_KEY_ONLINE", secret)
    for line in (
        "keys new fresh",
        "keys list repo",
        "keys drill repo --keys keys",
        "keys rotate repo --role online --keys keys --at-once",
        "keys rotate repo --role root --keys keys --proposal next",
        "keys rotate repo --role online --keys fresh",
        "keys drill repo --keys keys --json",
        "doctor repo",
    ):
        run(line)
    monkeypatch.setenv(PASSWORD, "another secret")
    run("keys rotate repo --role root --keys keys")
    told = "".join(capsys.readouterr())
    bodies = [
        secret.splitlines()[1],
        *(p.read_text().splitlines()[1] for p in Path().rglob("*.pem")),
    ]
    for word in ("PRIVATE KEY", SECRET, "another secret", *bodies):
        assert word not in told
        assert not [
            p for p in Path("repo").rglob("*") if p.is_file() and word in p.read_text("latin1")
        ]
    assert not list(Path("repo").rglob("*.pem"))


def test_keys_in_use_by_ci_come_from_its_secrets_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for role in ("release", "online"):
        monkeypatch.setenv(f"UPSWAP_KEY_{role.upper()}", Path(f"keys/{role}.pem").read_text())
    shutil.rmtree("keys")
    shutil.copytree("1.0", "2.0")
    Path("2.0/g").write_text("2")
    assert run("add-release repo --app notes --version 2.0 2.0 --keys none --quiet") == 0
    assert run("promote repo --app notes --version 2.0 --keys none") == 0
    assert not Path("none").exists()
