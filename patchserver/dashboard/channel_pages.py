"""Pages of channels: their offers, and forms to change them."""

from __future__ import annotations

from flask import redirect, render_template, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from patchserver.accounts.users import Role
from patchserver.dashboard.error_pages import field, flashing
from patchserver.dashboard.offers import Offered, offered
from patchserver.dashboard.published_apps import app_named
from patchserver.publishing.published_state import App
from patchserver.rollouts.halting import Rule
from patchserver.services import services
from patchserver.web.access import actor, signed_in
from updater.errors import RequestError
from updater.format.head import RolloutStep
from updater.format.names import check_channel
from updater.format.next_head import parse_percent, parse_ramp


@signed_in(Role.VIEWER)
def channel(app: str, channel: str) -> str:
    """One channel: what it offers, the evidence, and the controls."""
    known = app_named(app)
    if channel not in known.heads:
        raise NotFound
    return render_template(
        "dashboard/channel.html",
        app=known,
        channel=channel,
        offers=offers_of(known, channel),
        rule=services().rollouts.rule(app, channel),
        halts=services().rollouts.halts(app, channel)[:20],
        now=services().clock(),
    )


@signed_in(Role.PUBLISHER)
def promote(app: str) -> Response:
    """Let a channel offer a version, at once or in steps."""
    known, channel, version = app_named(app), field("channel", 40), field("version", 40)
    share = field("share").strip()
    with flashing(f"{channel} offers {version}: {share}."):
        check_channel(channel)
        steps = _steps(share, services().clock())
        services().rollouts.promote(actor(), app, channel, version, steps)
    return _back(known, channel)


@signed_in(Role.PUBLISHER)
def pause(app: str, channel: str) -> Response:
    """Offer a version to nobody for now."""
    known, version = app_named(app), field("version", 40)
    with flashing(f"{version} is paused on {channel}."):
        _require(known, channel)
        services().rollouts.pause(actor(), app, channel, version)
    return _back(known, channel)


@signed_in(Role.PUBLISHER)
def resume(app: str, channel: str) -> Response:
    """Go on with a version that was paused, or halted."""
    known, version = app_named(app), field("version", 40)
    with flashing(f"{version} goes on where it was, on {channel}."):
        _require(known, channel)
        services().rollouts.resume(actor(), app, channel, version)
    return _back(known, channel)


@signed_in(Role.PUBLISHER)
def set_rule(app: str, channel: str) -> Response:
    """Say when the channel's rollouts halt by themselves."""
    known, threshold, sample = app_named(app), field("threshold", 10), field("sample", 10)
    with flashing(f"{channel} halts above {threshold} % of at least {sample} installs."):
        _require(known, channel)
        rule = Rule(parse_percent(threshold.strip()), _sample(sample.strip()))
        services().rollouts.set_rule(actor(), app, channel, rule)
    return _back(known, channel)


def offers_of(app: App, channel: str) -> list[Offered]:
    """Return the offers of a channel, newest first, with the reports about each."""
    rollouts, head = services().rollouts, app.heads[channel]
    rule, halts = rollouts.rule(app.name, channel), rollouts.halts(app.name, channel)
    return [
        offered(
            offer,
            rollouts.evidence(head, offer.version),
            rule,
            halts,
            now=services().clock(),
            is_newest=index == 0,
            is_recalled=offer.version not in app.sound,
        )
        for index, offer in enumerate(head.entries)
    ]


def _steps(text: str, now: int) -> tuple[RolloutStep, ...]:
    """The steps of a percentage, or of a ramp.

    Raises:
        FormatError: it is neither.
    """
    if "@" in text:
        return parse_ramp(text, now)
    return (RolloutStep(now, parse_percent(text)),)


def _sample(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise RequestError(f"{text!a} is no number of installs", hint="such as 20")
    return int(text)


def _require(app: App, channel: str) -> None:
    """Refuse what is no channel, before it is written down anywhere.

    Raises:
        InstallError: it is none.
    """
    if channel not in app.heads:
        raise RequestError(f"{app.name} has no channel {channel!a}", hint="promote makes one")


def _back(app: App, channel: str) -> Response:
    if channel in app.heads or channel in services().signer.heads(app.name):
        return redirect(url_for("dashboard.channel", app=app.name, channel=channel), 303)
    return redirect(url_for("dashboard.overview", app=app.name), 303)
