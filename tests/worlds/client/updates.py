"""Commands on an install, starts of its application, and hosts that serve it well or not."""

from __future__ import annotations

from tests.worlds.client.draft import Actions, Draft


def begin(draft: Draft) -> None:
    """Install the first release."""
    place = draft.pick(["plain", "plain", "plain", "private", "volume", "link", "password"])
    lines = ["A=$W/p/a; AS=; S=; export A AS", "mkdir p; chmod 1777 tmp home; host"]
    if draft.shelf.has("needs"):
        lines.append("mkdir extra; : > extra/world_extra.py; export PYTHONPATH=$W/extra")
    if place == "volume":
        lines.append("mkdir p/a; mount -t tmpfs -o mode=755 none p/a || exit 0")
        draft.mounted = True
    elif place == "private":
        lines.append("mkdir -m 700 p/a")
    elif place == "link":
        lines.append("mkdir q; rmdir p; ln -s q p")
    elif place == "password":
        lines.append("URL=${URL/http:\\/\\//http://me:s3cretpw@}")
    if draft.chance(5):
        draft.drawn.append("host: welcome")
        lines.append("echo 'welcome everybody' > host")
    draft.drawn.append(f"install: {place}")
    draft.step("install", "\n".join([*lines, "begins", "narrow"]), after="after strict")


def end(draft: Draft) -> None:
    """A good release comes, is installed and started."""
    lines = ["at_peace", "offer 9.0"]
    lines.append("up; calm; [ $(installed) = 9.0 ] || newest" if draft.calm else "newest")
    lines.append('python3 -SEs look.py is "$A" 9.0 || exit 1')
    draft.step("end", "\n".join(lines), after="after strict asked")
    draft.step("last start", "starts quick; came_up; settled", after="after strict")


def update(draft: Draft) -> None:
    """Bring what is offered."""
    draft.step(
        "update", f"{draft.offer()}up{draft.must}", after="after strict" if draft.calm else "after"
    )


def check(draft: Draft) -> None:
    """Ask what is offered."""
    line = f'{draft.offer()}clear; note; run $AS updater check --dir "$A" --json'
    draft.step("check", line, 'python3 -SEs look.py offer "$A" || exit 1')


def command(draft: Draft) -> None:
    """Another command."""
    name = draft.pick(["recover", "repair", "repair", "rollback", "verify --full", "status"])
    must = draft.must if name in {"recover", "repair"} else ""
    draft.disturb(calm=name != "rollback")
    blame = "installed >> blamed; " if name == "rollback" else ""
    draft.step(name, f'{blame}clear; note; run $AS updater {name} --dir "$A"{must}')


def start(draft: Draft) -> None:
    """A start through the launcher; not every start ends well."""
    mode = draft.pick(["quick", "quick", "quick", "crash", "late", "mute"])
    how = draft.pick(["", "", ' updater launch --dir "$A"'])
    draft.disturb(calm=mode == "quick" and draft.is_good)
    checks = ["came_up"] if mode == "quick" else []
    draft.step(f"start {mode}", f"starts {mode}{how}", *checks)


def own_update(draft: Draft) -> None:
    """An application that updates itself when it is started, and restarts."""
    offer = draft.offer()
    draft.disturb(calm=draft.is_good)
    draft.step("start that updates", f"{offer}starts quick", "came_up")


def start_directly(draft: Draft) -> None:
    """A double click on the program itself, which may confirm itself."""
    if not draft.chance(3):
        update(draft)
    text = 'clear; note; MODE=quick STARTS=$W/starts timeout 60 $AS "$A/run" >out 2>err; R=$?'
    draft.step(
        "start directly", text, '! grep -q ^mixed out || fail "2 mixed: $(cat out)"', "heard"
    )


def second_window(draft: Draft) -> None:
    """Something else while the application runs; what waits is told once."""
    inside = draft.pick(["up", "twice", "twice", "starts quick"])
    text = f"background $AS; {draft.offer()}{inside}; stop"
    draft.disturb()
    draft.step("second window", text)


def stranger(draft: Draft) -> None:
    """Somebody who may not change the install runs it; what waits comes, or something is said."""
    if draft.chance(3):
        line = f'{draft.offer()}clear; run $USER_ updater check --dir "$A"; calm'
        draft.step("stranger checks", line)
        return
    text = f"background $USER_; {draft.offer()}AS=; up; stop; foreign"
    draft.disturb()
    draft.step("stranger", text, *(["AS=$USER_"] if draft.given else []))


def supervisor(draft: Draft) -> None:
    """A service manager stops what it has started, or the power goes, and then it starts again."""
    pause = draft.pick(["0", "0", "0.2", "0.6", "1.5"])
    ends = draft.pick(["stop", "stop", "power_cut"])
    draft.disturb(calm=draft.is_good)
    draft.step("supervisor", f"{draft.offer()}up; background $AS; sleep {pause}; {ends}")
    draft.step("start quick", "starts quick", "came_up")


def repair(draft: Draft) -> None:
    """Something is damaged, and the host has not all that would mend it."""
    path, bundle = draft.path(), f"/{draft.shelf.releases[draft.offered].version}/*.bundle"
    fault, where = draft.pick(["missing", "wrong", "page"]), draft.pick([bundle, "/patches/"])
    must = draft.must if draft.offered or where == "/patches/" else ""
    line = f'clear; note; run $AS updater repair --dir "$A"{must}; rm -f host'
    damage = f"there {path} && drop {path}; echo '{fault} {where}' > host"
    draft.disturb()
    draft.step(f"repair: {fault} {where}", f"{damage}; {line}")


def host(draft: Draft) -> None:
    """The host misbehaves; a file that is not needed is no reason not to update."""
    offer = draft.offer()
    bundle = f"/{draft.shelf.releases[draft.before].version}/*.bundle"
    fault = draft.pick(["missing", "missing", "wrong", "page", "cut", "error", "slow"])
    where = draft.pick(["/patches/"] * 4 + ["timestamp", "/targets/", ".bundle"])
    if draft.offered and draft.chance(3):
        fault, where = "missing", bundle
    survives = where == bundle
    if where == "/patches/" and fault in {"missing", "wrong", "page"}:
        survives = True
    draft.disturb(calm=survives)
    line = f"echo '{fault} {where}' > host; {offer}up{draft.must}"
    draft.step(f"host: {fault} {where}", line if survives else f"{line}; rm -f host")


def stale_host(draft: Draft) -> None:
    """A copy of the repository that is behind answers, after one that is not."""
    text = (
        f"mkdir -p repo/stale; cp -a repo/metadata repo/stale/; {draft.offer()}up\n"
        "if [ $R = 0 ] || [ $R = 10 ]; then echo 'stale timestamp' > host; up; "
        '[ $R != 4 ] || fail "3 alarm: an edge behind is called an attack: $(cat err)"; fi\n'
        "rm -rf host repo/stale"
    )
    draft.step("host: stale", text)


ACTIONS: Actions = [
    (7, update),
    (4, start),
    (2, own_update),
    (2, start_directly),
    (2, command),
    (1, check),
    (2, second_window),
    (1, stranger),
    (3, supervisor),
    (3, host),
    (1, repair),
    (1, stale_host),
]
