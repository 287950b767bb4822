"""Replanning: the steps of a commit, fitted to a live tree that has changed since."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import PurePosixPath

from updater.disk.content import FOLDER, NOTHING, content_of, is_bytecode
from updater.disk.durable import is_link, present
from updater.launch.commit.journal import Action, Journal, Step
from updater.launch.state import State


def as_it_is(state: State, journal: Journal) -> Journal | None:
    """The file swap ``journal`` over what is live now; None if it cannot be made as planned.

    What somebody did to managed files since is found out, and kept.

    Raises:
        OSError: the disk.
    """
    gone = {step.path for step in journal.steps if step.action is Action.REMOVE}
    steps = [_looked_at(state, step, gone) for step in journal.steps]
    known = [step for step in steps if step is not None]
    return replace(journal, steps=tuple(known)) if len(known) == len(steps) else None


def _looked_at(state: State, step: Step, gone: Collection[str]) -> Step | None:
    """The step, with what is live now; None if it cannot be done as planned.

    Args:
        state: of the install.
        step: as it was planned.
        gone: files and symlinks that make way before.
    """
    if step.own or step.disposable:
        return step
    if links := _links_above(state, step.path):  # what lies behind them is not in its place
        return step if links <= {*gone} else None
    names = [name for name in (step.incoming, step.aside) if name]
    if any(present(state.install / name) for name in names):
        return None
    found = content_of(state.install / step.path)
    if step.action not in {Action.PUT, Action.REMOVE} or found == step.was:
        return step
    return _of_the_users(step, found)


def _links_above(state: State, path: str) -> set[str]:
    folders = map(str, PurePosixPath(path).parents)
    return {folder for folder in folders if is_link(state.install / folder)} - {"."}


def _of_the_users(step: Step, found: str) -> Step | None:
    """A file that is no more what it was: the user's work is kept, a removed one is no matter."""
    if found == NOTHING and step.action is Action.REMOVE:
        return step
    if not step.was or found in {NOTHING, FOLDER}:
        return None
    return replace(step, was=found, keep=not is_bytecode(step.path))
