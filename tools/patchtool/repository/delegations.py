"""Delegations: the keys that sign the releases and the offers of each app."""

from __future__ import annotations

from collections.abc import Sequence

from tuf.api.metadata import DelegatedRole, Delegations, Key, Targets

from updater.format.target_names import channel_pattern, release_patterns


def delegate(targets: Targets, app: str, release: Sequence[Key], online: Sequence[Key]) -> None:
    """Let these keys sign for ``app``, and for nothing else."""
    delegations = targets.delegations or Delegations(keys={}, roles={})
    targets.delegations = delegations
    roles = delegations.roles = delegations.roles or {}
    ways = {
        f"app.{app}": (release_patterns(app), release),
        f"channels.{app}": ([channel_pattern(app)], online),
    }
    for name, (paths, keys) in ways.items():
        roles[name] = DelegatedRole(name, [], 1, True, paths)
        for key in keys:
            targets.add_key(key, name)


def undelegate(targets: Targets, app: str) -> None:
    """Let nobody sign for ``app`` any more."""
    for name in (f"app.{app}", f"channels.{app}"):
        for keyid in keyids(targets, name):
            targets.revoke_key(keyid, name)
        if targets.delegations is not None and targets.delegations.roles is not None:
            del targets.delegations.roles[name]


def delegated(targets: Targets) -> list[str]:
    """The roles that are delegated to somebody."""
    delegations = targets.delegations
    return sorted((delegations and delegations.roles) or ())


def keyids(targets: Targets, role: str) -> list[str]:
    """Ids of those who may sign a delegated role."""
    delegations = targets.delegations
    roles = (delegations and delegations.roles) or {}
    return list(roles[role].keyids) if role in roles else []
