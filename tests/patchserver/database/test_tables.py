"""The database: the schema is what its steps made of it, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from patchserver.accounts.audit import SERVER, Audit
from patchserver.accounts.users import Accounts, Role, Scope
from patchserver.database.engine import Database
from patchserver.database.tables import Base
from tests.support.servers.databases import KINDS, fresh_database
from updater.errors import InstallError

NOW = 1_800_000_000
PASSWORD = "correct horse battery"


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with fresh_database(request.param, tmp_path) as url:
        database = Database(url)
        database.upgrade()
        yield database
        database.close()


@pytest.fixture
def accounts(database: Database) -> Accounts:
    accounts = Accounts(database)
    accounts.add("anna", PASSWORD, Role.ADMIN, NOW)
    return accounts


def test_the_steps_lead_to_the_tables_the_code_knows(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_an_up_to_date_schema_stays_as_it_is(database: Database) -> None:
    before = inspect(database.engine).get_table_names()
    database.upgrade()
    assert inspect(database.engine).get_table_names() == before


@pytest.mark.parametrize("kind", KINDS)
def test_processes_that_start_at_once_make_the_schema_once(kind: str, tmp_path: Path) -> None:
    errors: list[Exception] = []

    def upgrade(url: str) -> None:
        database = Database(url)
        try:
            database.upgrade()
        except InstallError as error:
            errors.append(error)
        database.close()

    with fresh_database(kind, tmp_path) as url:
        threads = [threading.Thread(target=upgrade, args=(url,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://root@127.0.0.1/x",
        "postgresql://u:very-secret@127.0.0.1:1/x",
        "sqlite:////nowhere/at/all.db",
    ],
)
def test_a_database_that_cannot_be_used_is_told_without_its_password(url: str) -> None:
    with pytest.raises(InstallError) as caught:
        Database(url).upgrade()
    assert "very-secret" not in str(caught.value)
    assert caught.value.hint


def test_a_password_lets_its_user_in_and_nobody_else(accounts: Accounts) -> None:
    found = accounts.sign_in("anna", PASSWORD)
    assert found is not None
    assert (found.name, found.role) == ("anna", Role.ADMIN)
    for name, password in (("anna", "wrong"), ("berta", PASSWORD), ("", ""), ("anna", "")):
        assert accounts.sign_in(name, password) is None


def test_a_password_and_a_token_stand_nowhere(accounts: Accounts, database: Database) -> None:
    secret = accounts.make_token("anna", "ci", "", [Scope.PUBLISH], NOW)
    with database.engine.connect() as connection:
        rows = [
            str(connection.execute(table.select()).all()) for table in Base.metadata.sorted_tables
        ]
    assert PASSWORD not in "".join(rows)
    assert secret not in "".join(rows)


def test_a_session_ends_with_a_sign_out_a_new_password_and_the_account(accounts: Accounts) -> None:
    accounts.add("berta", PASSWORD, Role.VIEWER, NOW)
    ends: list[Callable[[], None]] = [
        lambda: accounts.sign_out("berta"),
        lambda: accounts.set_password("berta", "another long one"),
        lambda: accounts.set_active("berta", is_active=False),
    ]
    for end in ends:
        before = next(user.session for user in accounts.users() if user.name == "berta")
        assert accounts.person("berta", before) is not None
        end()
        assert accounts.person("berta", before) is None


def test_the_last_admin_cannot_be_lost(accounts: Accounts) -> None:
    with pytest.raises(InstallError, match="nobody could manage"):
        accounts.set_role("anna", Role.VIEWER)
    with pytest.raises(InstallError, match="nobody could manage"):
        accounts.set_active("anna", is_active=False)
    assert accounts.sign_in("anna", PASSWORD) is not None
    accounts.add("berta", PASSWORD, Role.ADMIN, NOW)
    accounts.set_role("anna", Role.VIEWER)


def test_a_token_is_good_until_it_ends(accounts: Accounts) -> None:
    secret = accounts.make_token("anna", "ci", "notes", [Scope.PUBLISH], NOW, days=1)
    grant = accounts.grant(secret, NOW)
    assert grant is not None
    assert grant.allows(Scope.PUBLISH, "notes")
    assert not grant.allows(Scope.PROMOTE, "notes")
    assert not grant.allows(Scope.PUBLISH, "other")
    assert accounts.grant(secret, NOW + 86_400) is None
    assert accounts.grant(secret[:-1], NOW) is None
    assert accounts.grant("", NOW) is None


def test_a_token_falls_with_its_maker_and_when_it_is_revoked(accounts: Accounts) -> None:
    accounts.add("berta", PASSWORD, Role.PUBLISHER, NOW)
    first, second = (
        accounts.make_token("berta", name, "", [Scope.PUBLISH], NOW) for name in ("one", "two")
    )
    digest = next(token.digest for token in accounts.tokens() if token.name == "one")
    accounts.revoke_token(digest[:12])
    assert accounts.grant(first, NOW) is None
    assert accounts.grant(second, NOW) is not None
    accounts.set_role("berta", Role.VIEWER)
    assert accounts.grant(second, NOW) is None


def test_a_viewer_makes_no_token_and_nobody_makes_an_empty_one(accounts: Accounts) -> None:
    accounts.add("berta", PASSWORD, Role.VIEWER, NOW)
    with pytest.raises(InstallError):
        accounts.make_token("berta", "x", "", [Scope.PUBLISH], NOW)
    with pytest.raises(InstallError):
        accounts.make_token("anna", "x", "", [], NOW)


@pytest.mark.parametrize("start", ["", "%", "_", "zz", "' OR 1=1 --"])
def test_only_one_token_is_revoked_at_a_time(start: str, accounts: Accounts) -> None:
    accounts.make_token("anna", "x", "", [Scope.PUBLISH], NOW)
    with pytest.raises(InstallError):
        accounts.revoke_token(start)
    assert all(token.is_active for token in accounts.tokens())


@pytest.mark.parametrize("name", ["", "a b", "<script>", "x" * 65, "ä", "a\nb"])
def test_a_name_that_would_be_trouble_is_refused(name: str, accounts: Accounts) -> None:
    with pytest.raises(InstallError):
        accounts.add(name, PASSWORD, Role.VIEWER, NOW)


@pytest.mark.parametrize("password", ["", "short", "x" * 1001])
def test_a_password_that_is_none_is_refused(password: str, accounts: Accounts) -> None:
    with pytest.raises(InstallError):
        accounts.set_password("anna", password)


def test_a_change_is_in_the_log_before_it_is_made(database: Database) -> None:
    audit = Audit(database)
    with audit.change(SERVER, "pause", "notes", "stable 1.0", NOW):
        (begun,) = audit.events()
        assert begun.outcome == "begun"
    (done,) = audit.events()
    assert (done.outcome, done.actor, done.action) == ("done", "server", "pause")


def test_a_change_that_fails_is_in_the_log_with_its_reason(database: Database) -> None:
    audit = Audit(database)
    with (
        pytest.raises(InstallError),
        audit.change(SERVER, "promote", "notes", "stable 9", NOW),
    ):
        raise InstallError("notes 9 is not published")
    (failed,) = audit.events(app="notes")
    assert failed.outcome == "failed: notes 9 is not published"
    assert audit.events(app="other") == []
