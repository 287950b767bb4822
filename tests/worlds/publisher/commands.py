"""Steps that are a publisher's ordinary commands."""

from __future__ import annotations

from tests.worlds.publisher.model import DAYS, FIRST, Draw, Kind, Model, when_well
from tests.worlds.world import Step


def publish(draw: Draw, model: Model) -> Step:
    """A release, and perhaps its promotion."""
    version, base = model.fresh(), draw.pick(FIRST)
    text = f"release {version} {base}\napp add-release --version {version} rel/{version}"
    model.versions.append(version)
    if model.is_calm:
        text += '\n[ $R = 0 ] || fail "6 refused: $(cat err)"'
    if draw.pick((True, False)):
        return Step("publish", text, "judge repo")
    promoted = f"{text}\napp promote --version {version}"
    return Step("publish and promote", promoted, when_well(f"--offered {version}"))


def promote(draw: Draw, model: Model) -> Step:
    """A version is offered, to all or in steps."""
    version = draw.pick(model.versions)
    how = draw.pick(("", "", "--rollout 30", "--ramp 10@now,100@+24h"))
    check = "judge repo" if how else when_well(f"--offered {version}")
    return Step("promote", f"app promote --version {version} {how}", check)


def pause(draw: Draw, model: Model) -> Step:
    """A rollout is paused, and perhaps goes on."""
    version = draw.pick(model.versions)
    paused = f"app pause --version {version}"
    if draw.pick((True, False)):
        return Step("pause", paused, when_well(f"--paused {version}", "well"))
    return Step("resume", f"{paused}\napp resume --version {version}", "judge repo")


def recall(draw: Draw, model: Model) -> Step:
    """One version or all that were offered are withdrawn."""
    how = draw.pick(("", "", "--patch", "--floor 1.0"))
    some = [(version,) for version in model.versions]
    versions = draw.pick([*some, FIRST, tuple(reversed(FIRST))])
    text = "\n".join(f"app recall --version {version} {how}" for version in versions)
    return Step("recall", text, when_well(f"--withheld {versions[-1]}", "well"))


def slow_recall(_draw: Draw, model: Model) -> Step:
    """A recall whose patches take a while, and which is in force at once."""
    first, version = model.fresh(), model.fresh()
    text = f"""build {first} 300000; wait $BUILD
cp -a rel/{first} rel/{version}; echo {version} > rel/{version}/version
app add-release --version {version} rel/{version}
app promote --version {first}
app promote --version {version}
if well; then
  slowly recall --version {version} --patch
  if building; then halt; judge repo --withheld {version}; urgent refresh; fi
  kill -CONT $BUILD 2>/dev/null
  finished
fi
tidy recall"""
    model.versions.append(version)
    return Step("slow recall", text, when_well(f"--withheld {version}", "well"))


def refresh(draw: Draw, _model: Model) -> Step:
    """Signatures are renewed, with all keys or the online key alone, now or after a while."""
    days = draw.pick((0, *DAYS, 370))
    keys = draw.pick(("keys", "cron", "cron"))
    looks = draw.pick(("", "judge repo\n"))
    text = f"later {days}\n{looks}KEYS={keys}\npub refresh\nKEYS=keys"
    return Step("refresh", text, when_well("--well refresh", "well"))


def prune(_draw: Draw, _model: Model) -> Step:
    """What nobody needs goes."""
    return Step("prune", "pub prune", "judge repo")


def client_update(draw: Draw, _model: Model) -> Step:
    """An install takes what it is offered."""
    client = draw.pick(("c0", "c1"))
    return Step("update", f"timed updater update --dir {client} --quiet --no-restart", "judge repo")


KINDS: tuple[Kind, ...] = (
    *(publish, promote, promote, pause, recall, recall, slow_recall),
    *(refresh, refresh, prune, client_update, client_update),
)
