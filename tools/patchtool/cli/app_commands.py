"""What ``patchtool apps ...`` does; loaded when one of its commands is run."""

from __future__ import annotations

import argparse

from patchtool.cli.release_commands import repository_of
from patchtool.keys.root_documents import SHOWN
from patchtool.release.apps import add_app, remove_app
from patchtool.repository.snapshot import Snapshot
from updater.cli.terminal import tell


def list_apps(options: argparse.Namespace) -> int:
    """``patchtool apps list``."""
    seen = Snapshot.read(options.repository)
    keys = {app: [key.keyid for key in seen.keys_of(f"app.{app}")] for app in seen.apps()}
    lines = [f"{app}: release key {', '.join(i[:SHOWN] for i in ids)}" for app, ids in keys.items()]
    tell(options, {"apps": keys}, "\n".join(lines))
    return 0


def add(options: argparse.Namespace) -> int:
    """``patchtool apps add``."""
    done = add_app(repository_of(options), options.app)
    words = [f"{done.app} is hosted now; its release key is {done.key[:SHOWN]}"]
    words += [f"new key: {done.made}"] if done.made else []
    document = {"app": done.app, "key": done.key, "made": done.made and str(done.made)}
    tell(options, document, "\n".join(words))
    return 0


def remove(options: argparse.Namespace) -> int:
    """``patchtool apps remove``."""
    retired = [str(path) for path in remove_app(repository_of(options), options.app)]
    words = [f"{options.app} is hosted no more; its installs go on working as they are"]
    words += [f"signs nothing any more: {path}" for path in retired]
    tell(options, {"app": options.app, "retired": retired}, "\n".join(words))
    return 0
