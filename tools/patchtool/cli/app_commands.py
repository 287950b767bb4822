"""``patchtool apps``: commands that show, add and remove the apps of a repository."""

from __future__ import annotations

import argparse
from typing import Any

from patchtool.cli.arguments import add_app, add_keys, add_repository, add_wait, register
from patchtool.cli.opening import repository_of
from updater.cli.terminal import print_result


def add_commands(commands: Any) -> None:
    """Register ``apps list``, ``apps add`` and ``apps remove``."""
    apps = commands.add_parser("apps", help="host several apps, each with a release key of its own")
    verbs = apps.add_subparsers(required=True, metavar="COMMAND")
    register(verbs, list_apps, add_repository, name="list")
    for action, name in ((add_one, "add"), (remove_one, "remove")):
        register(verbs, action, add_repository, add_wait, add_app, add_keys, name=name)


def list_apps(options: argparse.Namespace) -> int:
    """Show the apps hosted here.

    Example: patchtool apps list repo
    """
    from patchtool.keys.root_documents import SHOWN
    from patchtool.repository.snapshot import Snapshot

    seen = Snapshot.read(options.repository)
    keys = {app: [key.keyid for key in seen.keys_of(f"app.{app}")] for app in seen.apps()}
    lines = [f"{app}: release key {', '.join(i[:SHOWN] for i in ids)}" for app, ids in keys.items()]
    print_result(options, {"apps": keys}, "\n".join(lines))
    return 0


def add_one(options: argparse.Namespace) -> int:
    """Host an app, signed with release.APP.pem.

    Example: patchtool apps add repo --app draw --keys keys
    """
    from patchtool.keys.root_documents import SHOWN
    from patchtool.release import apps

    done = apps.add_app(repository_of(options), options.app)
    words = [f"{done.app} is hosted now; its release key is {done.key[:SHOWN]}"]
    words += [f"new key: {done.made}"] if done.made else []
    document = {"app": done.app, "key": done.key, "made": done.made and str(done.made)}
    print_result(options, document, "\n".join(words))
    return 0


def remove_one(options: argparse.Namespace) -> int:
    """Host an app no more; its installs stay.

    Example: patchtool apps remove repo --app draw --keys keys
    """
    from patchtool.release import apps

    retired = [str(path) for path in apps.remove_app(repository_of(options), options.app)]
    words = [f"{options.app} is hosted no more; its installs go on working as they are"]
    words += [f"signs nothing any more: {path}" for path in retired]
    print_result(options, {"app": options.app, "retired": retired}, "\n".join(words))
    return 0
