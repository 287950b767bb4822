"""Steps in which a clock, a disk or a stream is wrong, or something is killed or cannot wait."""

from __future__ import annotations

from tests.worlds.publisher.model import DAYS, READY, URGENT, Draw, Kind, Model, when_well
from tests.worlds.world import Step

STREAMS = (
    "patchtool {c} 2>err | head -n 1 >out",
    "patchtool {c} >/dev/full 2>err",
    "PYTHONIOENCODING=cp1252 patchtool {c} >out 2>err",
    "patchtool {c} >out 2>&-",
    "patchtool {c} >&- 2>err",
)


def wrong_clock(draw: Draw, model: Model) -> Step:
    """A command with a clock that is days ahead or behind; the next ones are right again."""
    model.is_calm = False
    how = draw.pick(("at", "at", "sure"))
    days = draw.pick(DAYS) * draw.pick((1, -1))
    version = draw.pick((*model.versions, READY, READY, READY))
    others = ("pub refresh", "app pause --version 1.1", "app recall --version 1.1")
    command = draw.pick((*(f"app promote --version {version}",) * 5, *others))
    # a clock that is a little ahead may be right, and then doctor alone can tell
    is_plain = how == "at" and (days < -1 or days > 30)
    offered = f"--offered {version} {'--strict' if is_plain else ''}"
    check = when_well(offered) if "promote" in command else "judge repo"
    return Step("wrong clock", f"{how} {days} {command}", check)


def put_right(draw: Draw, model: Model) -> Step:
    """Somebody insisted on a wrong clock; later it is right, and all is signed and said again."""
    model.is_calm = False
    days = draw.pick(DAYS) * draw.pick((1, 1, -1))
    text = f"""sure {days} app promote --version {READY}
judge repo
pub refresh
if well; then judge repo --well refresh; fi
app promote --version {READY}"""
    return Step("clock put right", text, when_well(f"--offered {READY}"))


def killed_build(draw: Draw, model: Model) -> Step:
    """A build is killed at some moment."""
    model.is_untidy = True
    version, size = model.fresh(), draw.pick((20_000, 300_000))
    waits = ("building", "building", "building; sleep 0.2", "sleep 0.5", "sleep 0.9")
    text = f"build {version} {size}\n{draw.pick(waits)}\nkill_build"
    return Step("killed build", text, "judge repo")


def urgent(draw: Draw, model: Model) -> Step:
    """An urgent command while a build runs, which ends well all the same."""
    version, command = model.fresh(), draw.pick(URGENT)
    text = f"while_building {version} {command}"
    if model.is_calm:
        text += '\n[ $R = 0 ] || fail "6 lost: a build while others worked: $(tail -n 2 ci)"'
    return Step("urgent", f"{text}\ntidy add-release", "judge repo")


def urgent_sync(draw: Draw, _model: Model) -> Step:
    """An urgent command while a host is filled."""
    command = draw.pick(URGENT)
    return Step("urgent sync", f"while_copying {command}\ntidy sync", "judge repo")


def full_disk(draw: Draw, model: Model) -> Step:
    """The disk is too small for a release, and has room for what keeps users alive."""
    model.is_calm = False
    commands = ("pub refresh", f"app promote --version {READY}", "app recall --version 1.1")
    room, command = draw.pick((150, 400, 1000)), draw.pick(commands)
    text = f"""small {room}
too_large {model.fresh()}
{command}
! grep -qi space err || fail "6 full: no room for {command}: $(head -n 1 err)"
mount -o remount,size=200m repo"""
    return Step("full disk", text, "judge repo")


def streams(draw: Draw, _model: Model) -> Step:
    """Output that goes nowhere, or cannot be shown, ends no command in the middle."""
    command = draw.pick(("inspect many", "inspect many", "doctor repo", "apps list repo"))
    run = draw.pick(STREAMS).format(c=command)
    text = f"""mkdir few lots; touch few/a lots/$'\\xd1\\x84'; (cd lots && seq 3000 | xargs touch)
run patchtool diff few lots -o many --quiet
: >out; : >err
{run}
! grep -q Traceback out err || fail "1 traceback: {command}: $(tail -n 1 err)"
rm -rf few lots many"""
    return Step("streams", text, "judge repo")


def unreadable(draw: Draw, _model: Model) -> Step:
    """`doctor` may not read a file, and another one may be gone."""
    one, other = draw.number(0, 99), draw.number(0, 99)
    text = f"""rm -rf half; cp -a repo half
any_file {one} half/metadata half/targets; chmod 000 "$FILE"
any_file {other} half/targets; rm "$FILE"
timed setpriv --bounding-set=-dac_override,-dac_read_search patchtool doctor half"""
    return Step("unreadable", text, "judge repo")


KINDS: tuple[Kind, ...] = (
    *(wrong_clock, wrong_clock, put_right, killed_build, killed_build, urgent, urgent),
    *(urgent_sync, full_disk, full_disk, streams, unreadable),
)
