"""What ``patchtool apps ...`` does; loaded when one of its commands is run."""

from __future__ import annotations

import argparse

from patchtool.cli.release_commands import looked_at, repository_of
from patchtool.keys.root_documents import SHOWN
from patchtool.release.apps import add_app, remove_app
from updater.cli.terminal import print_result


def list_apps(options: argparse.Namespace) -> int:
    """``patchtool apps list``."""
    repository = looked_at(options)
    keys = {
        app: [key.keyid for key in repository.keys_of(f"app.{app}")] for app in repository.apps()
    }
    lines = [f"{app}: release key {', '.join(i[:SHOWN] for i in ids)}" for app, ids in keys.items()]
    print_result(options, {"apps": keys}, "\n".join(lines))
    return 0


def add(options: argparse.Namespace) -> int:
    """``patchtool apps add``."""
    done = add_app(repository_of(options), options.app)
    words = [f"{done.app} is hosted now; its release key is {done.key[:SHOWN]}"]
    words += [f"new key: {done.made}"] if done.made else []
    document = {"app": done.app, "key": done.key, "made": done.made and str(done.made)}
    print_result(options, document, "\n".join(words))
    return 0


def remove(options: argparse.Namespace) -> int:
    """``patchtool apps remove``."""
    retired = [str(path) for path in remove_app(repository_of(options), options.app)]
    words = [f"{options.app} is hosted no more; its installs go on working as they are"]
    words += [f"signs nothing any more: {path}" for path in retired]
    print_result(options, {"app": options.app, "retired": retired}, "\n".join(words))
    return 0
