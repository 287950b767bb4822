"""The release description: what the publisher says of a release besides its files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from updater.errors import FormatError
from updater.format.encoding.canonical import Record, encode, string, within
from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.names import check_version
from updater.format.paths import check_path

Policy = Literal["replace", "keep", "keep-if-changed"]
ConfirmMode = Literal["none", "app", "health"]

ARGUMENTS_MOST = 64
GLOBS_MOST = 256
DISPOSABLE = ("**/__pycache__/**",)


@dataclass(frozen=True, kw_only=True)
class Confirm:
    """The way to confirm a new version: none, the application's own word, or a health command."""

    mode: ConfirmMode = "none"
    health: tuple[str, ...] = ()
    starts: int = 1
    """Starts that must fail before the old version comes back."""
    seconds: int = 60
    """Seconds it may run in a start without being confirmed."""

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this value."""
        health = {"health": list(self.health)} if self.health else {}
        return {"mode": self.mode, "seconds": self.seconds, "starts": self.starts, **health}

    @classmethod
    def parse(cls, value: object) -> Confirm:
        """The value of a JSON object."""
        record = Record(value)
        mode = _choice(record.text("mode"), ConfirmMode, "mode")
        health = record.items("health", _argument, ARGUMENTS_MOST)
        if (mode == "health") != bool(health):
            raise FormatError("a command belongs to mode health, and only there", context="health")
        seconds = record.integer("seconds", 86_400, low=1)
        confirm = cls(
            mode=mode, health=health, starts=record.integer("starts", 100, low=1), seconds=seconds
        )
        record.end()
        return confirm


@dataclass(frozen=True, kw_only=True)
class Release:
    """The content of ``release.toml``; each field has the default of a release without one."""

    entry: tuple[str, ...] = ()
    """Release path of the executable to start, then its arguments; empty: nothing to start."""
    launcher: str = ""
    """Release path of a self-contained launcher executable, for frozen applications."""
    confirm: Confirm = Confirm()
    stop: bool = False
    """A release no update may jump over."""
    min_updater: str = ""
    """Oldest updater version that may install this release."""
    required: bool = False
    """The publisher asks users not to put this update off."""
    policy: tuple[tuple[str, Policy], ...] = ()
    """Policies for managed files that the user changed: (glob, policy), first match wins."""
    disposable: tuple[str, ...] = DISPOSABLE
    """Globs of files that may be deleted though no manifest names them."""
    portable: bool = True
    """True if the Windows and letter-case rules for names hold."""
    notes: str = ""

    def to_json(self, *, spelled_out: bool = False) -> dict[str, Any]:
        """The JSON object of this value; defaults are left out, so that they cost nothing."""
        fields: dict[str, Any] = {
            "entry": list(self.entry),
            "launcher": self.launcher,
            "confirm": self.confirm.to_json(),
            "stop": self.stop,
            "min_updater": self.min_updater,
            "required": self.required,
            "policy": [list(rule) for rule in self.policy],
            "disposable": list(self.disposable),
            "portable": self.portable,
            "notes": self.notes,
        }
        if spelled_out:
            return fields
        plain = Release().to_json(spelled_out=True)
        return {key: value for key, value in fields.items() if value != plain[key]}

    @classmethod
    def parse(cls, value: object, limits: Limits = DEFAULT) -> Release:
        """The value of a JSON object; spelled-out defaults are refused (one spelling only).

        Raises:
            FormatError: any field of another type, an unknown field, a path that is none.
        """
        record = Record(value)
        release = _read(record)
        record.end()
        data = encode(release.to_json())
        if len(data) > limits.release_bytes:
            raise FormatError(f"{len(data)} bytes, {limits.release_bytes} allowed")
        if data != encode(value):
            raise FormatError("a default is spelled out")
        return release


def _read(record: Record) -> Release:
    portable = record.flag("portable", default=True)
    entry = record.items("entry", _argument, ARGUMENTS_MOST)
    launcher = record.text("launcher", "")
    for path in (*entry[:1], *([launcher] if launcher else [])):
        check_path(path, portable=portable)
    min_updater = record.text("min_updater", "")
    confirm = (
        within("confirm", Confirm.parse, record.value("confirm"))
        if record.has("confirm")
        else Confirm()
    )
    has_globs = record.has("disposable")
    disposable = record.items("disposable", string, GLOBS_MOST)
    return Release(
        entry=entry,
        launcher=launcher,
        confirm=confirm,
        stop=record.flag("stop", default=False),
        min_updater=check_version(min_updater) if min_updater else "",
        required=record.flag("required", default=False),
        policy=record.items("policy", _rule, GLOBS_MOST),
        disposable=disposable if has_globs else DISPOSABLE,
        portable=portable,
        notes=record.text("notes", ""),
    )


def _argument(value: object) -> str:
    text = string(value)
    if "\0" in text:
        raise FormatError("a NUL, which no program can be given")
    return text


def _rule(value: object) -> tuple[str, Policy]:
    if not isinstance(value, list) or len(value) != len(("glob", "policy")):
        raise FormatError("[glob, policy] expected")
    return string(value[0]), _choice(string(value[1]), Policy, "policy")


def _choice(text: str, kind: Any, context: str) -> Any:
    if text not in get_args(kind):
        raise FormatError(f"{text[:40]!a} is not one of {get_args(kind)}", context=context)
    return text
