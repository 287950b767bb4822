"""What may happen to an install: each method draws one thing and renders it as shell lines.

A draft knows what the script knows: who owns the install, which release is offered, and whether
anything stands in an update's way. What a command makes of it, only the shell finds out.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st

from worlds.releases import Shelf
from worlds.world import Step

T = TypeVar("T")
CALLS = ("rename", "link", "unlink", "mkdir", "fsync", "openat", "symlink", "chmod", "rmdir")
ERRORS = ("ENOSPC", "EIO", "EACCES", "EMFILE")
LOCALE = "env LOCPATH=$W/lp LC_ALL=en_US.ISO-8859-1"
EVERY = ("update", "update", "recover", "repair", "rollback", "launch")


class Draft:
    """A world that is being written."""

    def __init__(self, draw: st.DrawFn, shelf: Shelf) -> None:
        self._draw = draw
        self._shelf = shelf
        self.steps: list[Step] = []
        self.drawn: list[str] = []
        self._offered = 0
        self._calm = True
        """Nothing stands in the way of an update: it must be made."""
        self._given = False
        self._mounted = False
        self._locale = False
        self._count = 0

    def _pick(self, choices: Sequence[T]) -> T:
        return self._draw(st.sampled_from(choices))

    def _number(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def _chance(self, of: int) -> bool:
        return self._draw(st.integers(0, of - 1)) == of - 1

    def _step(self, kind: str, text: str, *, strict: bool = False, check: str = "") -> None:
        looks = f"{check}\nafter{' strict' if strict else ''}".strip()
        if "after" in check:
            looks = check
        self.steps.append(Step(kind, text, looks))

    def begin(self) -> None:
        """Install the first release."""
        place = self._pick(["plain", "plain", "plain", "volume", "link", "password"])
        lines = ["A=$W/p/a; AS=; S=; export A AS", "mkdir p; chmod 1777 tmp home; host"]
        if self._shelf.has("needs"):
            lines.append("mkdir extra; : > extra/world_extra.py; export PYTHONPATH=$W/extra")
        if place == "volume":
            lines.append("mkdir p/a; mount -t tmpfs -o mode=755 none p/a || exit 0")
            self._mounted = True
        if place == "link":
            lines.append("mkdir q; rmdir p; ln -s q p")
        if place == "password":
            lines.append("URL=${URL/http:\\/\\//http://me:s3cretpw@}")
        if self._chance(5):
            self.drawn.append("host: welcome")
            lines.append("echo 'welcome everybody' > host")
        lines += ["umask 022", 'inst "$A"', "state"]
        self.drawn.append(f"install: {place}")
        self._step("install", "\n".join(lines), strict=True)

    def go_on(self) -> None:
        """One more thing happens."""
        weighted: list[tuple[int, Callable[[], None]]] = [
            (6, self._update),
            (4, self._start),
            (4, self._users),
            (3, self._owners),
            (3, self._killed),
            (3, self._failing_call),
            (2, self._around),
            (2, self._host),
            (1, self._stale_host),
            (2, self._command),
            (2, self._moves),
            (2, self._odd_environment),
            (1, self._spoiler),
            (1, self._mounts),
            (1, self._second_window),
            (1, self._supervisor),
            (1, self._check),
        ]
        names = [action for weight, action in weighted for _ in range(weight)]
        self._pick(names)()

    def end(self) -> None:
        """A good release comes, and is installed and started."""
        pause = "; sleep 4" if self._shelf.has("child") else ""
        lines = [f'chattr -R -i p q moved* 2>/dev/null; pkill -f "$W/.*(app.py|/run)"{pause}']
        lines.append("offer 9.0")
        lines.append("up; calm; [ $(installed) = 9.0 ] || newest" if self._calm else "newest")
        lines.append('python3 look.py is "$A" 9.0 || exit 1')
        self._step("end", "\n".join(lines), check="after strict asked")
        self._step("last start", "starts quick; came_up", strict=True)

    # --- releases and updates

    def _offer(self) -> str:
        """Offer the next release, if there is one; the shell line."""
        releases = self._shelf.releases
        left = len(releases) - 2 - self._offered
        if left < 1:
            return ""
        self._offered += self._number(1, min(left, 2))
        return f"offer {releases[self._offered].version}; "

    def _update(self) -> None:
        offer = self._offer() if self._chance(2) or self._offered == 0 else ""
        calm = "; calm" if self._calm else ""
        self._step("update", f"{offer}up{calm}", strict=self._calm)

    def _check(self) -> None:
        line = f'{self._offer()}clear; note; run $AS updater check --dir "$A" --json'
        self._step("check", line, check='python3 look.py offer "$A" || exit 1')

    def _command(self) -> None:
        name = self._pick(["recover", "repair", "repair", "rollback", "verify --full", "status"])
        must = self._must if name in {"recover", "repair"} else ""
        self._disturb(calm=name != "rollback")
        blame = "installed >> blamed; " if name == "rollback" else ""
        self._step(name, f'{blame}clear; note; run $AS updater {name} --dir "$A"{must}')

    def _disturb(self, *, calm: bool = False) -> None:
        self._calm = self._calm and calm

    # --- starts

    def _start(self) -> None:
        mode = self._pick(["quick", "quick", "quick", "crash", "late", "mute"])
        how = self._pick(["", "", 'updater launch --dir "$A"'])
        self._disturb(calm=mode == "quick" and self._is_good)
        check = "came_up" if mode == "quick" else ""
        self._step(f"start {mode}", f"starts {mode} {how}".strip(), check=check)

    @property
    def _is_good(self) -> bool:
        """Whether no release that can be installed by now fails by itself."""
        offered = self._shelf.releases[: self._offered + 1]
        return all(release.character == "good" for release in offered)

    def _around(self) -> None:
        """A double click on the program itself."""
        text = 'clear; note; MODE=quick STARTS=$W/starts timeout 60 $AS "$A/run" >out 2>err; R=$?'
        self._step(
            "start directly", text, check='! grep -q ^mixed out || fail "2 mixed: $(cat out)"'
        )

    def _second_window(self) -> None:
        """Two starts at a time, and a command meanwhile."""
        inside = self._pick(["up", "up", "starts quick"])
        offer = self._offer()
        first = (
            'state; clear; note; MODE=serve $AS "$S/launcher/start" >bg 2>&1 & L=$!; '
            f"sleep 1; {offer}{inside}; kill -TERM $L; wait $L"
        )
        self._disturb()
        self._step("second window", first)

    def _supervisor(self) -> None:
        """A service manager stops what it has started, and starts it again."""
        pause = self._pick(["0.3", "0.8", "1.5"])
        offer = self._offer()
        self._disturb(calm=self._is_good)
        text = (
            f"{offer}up; state; clear; note; MODE=serve STARTS=$W/starts $AS "
            f'"$S/launcher/start" >out 2>err & L=$!; sleep {pause}; kill -TERM $L; wait $L'
        )
        self._step("supervisor", text)
        self._step("start quick", "starts quick", check="came_up")

    # --- the user

    def _path(self) -> str:
        """A file some release has."""
        paths = sorted({path for one in self._shelf.releases for path in one.paths()})
        return self._pick(paths) if paths else "mine"

    def _users(self) -> None:
        self._count += 1
        mark = f"of the user {self._count}"
        what = self._pick(["own", "own", "edit", "edit", "remove", "beside"])
        path = self._path()
        if what == "own":
            path = self._pick(["mine", "mine.d/x", "lib/mine", "моё", "new\nline", "-mine"])
        if what == "beside":
            path += self._pick([".old", ".new", ".dist"])
        quoted = shlex.quote(path)
        if what == "remove":
            self._disturb()
            text = f"drop {quoted}"
        else:
            text = f"{'edit' if what == 'edit' else 'own'} {quoted} '{mark}'"
        self._step(f"user: {what}", text)

    def _owners(self) -> None:
        """Modes, owners and attributes: the administrator's affair."""
        what = self._pick(
            [
                "mode",
                "mode",
                "private",
                "private",
                "give",
                "root",
                "attribute",
                "immutable",
                "setgid",
                "group",
            ]
        )
        quoted = shlex.quote(self._path())
        place = f'"$A"/{quoted}'
        if what == "mode":
            mode = self._pick(["600", "640", "700", "750"])
            text = f"there {quoted} && chmod {mode} {place}; note"
        elif what == "private":
            where = self._pick(['"$A"', f'"$(dirname {place})"'])
            text = f"[ -d {where} ] && [ ! -L {where} ] && chmod 700 {where}; note"
        elif what == "give":
            text = self._give()
        elif what == "root":
            text = f"{self._offer()}AS=; up; [ $R = 0 ] || [ $R = 10 ] || :; {self._again_user()}"
        elif what == "attribute":
            text = f"there {quoted} && setfattr -n user.mine -v 1 {place}; note"
        elif what == "immutable":
            text = f"there {quoted} && chattr +i {place}; note"
            self._disturb()
        elif what == "setgid":
            text = f'chmod g+s "$A" "$(dirname {place})" 2>/dev/null; note fresh'
        else:
            text = f"there {quoted} && chgrp 12 {place}; note fresh"
        self._step(f"administrator: {what}", text)

    def _give(self) -> str:
        self._given = True
        all_of_it = self._pick(['"$(dirname "$A")" "$A" "$S"', '"$A" "$S"'])
        return f"state; chown -R 45678:45678 {all_of_it}; AS=$USER_; note fresh"

    def _again_user(self) -> str:
        return "AS=$USER_" if self._given else ":"

    def _moves(self) -> None:
        what = self._pick(["move", "copy", "restore", "restore all", "clone"])
        self._count += 1
        name = f"moved{self._count}"
        if self._mounted:
            return
        beside = 'D=$(dirname "$A")'
        make = f'mkdir {name}; chown --reference="$D" {name}'
        if what == "move":
            text = f'{beside}; {make}; mv "$D"/a "$D"/.a.upswap {name} 2>/dev/null; A=$W/{name}/a'
        elif what == "copy":
            text = f'{beside}; {make}; cp -a "$D/." {name}; A=$W/{name}/a'
        elif what == "restore":
            text = 'cp -a "$A" backup$$; rm -rf "$A"; mv backup$$ "$A"'
        else:
            away = 'rm -rf "$D"/* "$D"/.a.upswap'
            text = f'{beside}; cp -a "$D/." back; {away}; cp -a back/. "$D"; rm -rf back'
        self._step(f"folder: {what}", f"{text}; note fresh")

    # --- the machine

    def _killed(self) -> None:
        """A command dies at some call; then somebody goes on."""
        call, number = self._pick(CALLS), self._number(1, 14)
        name = self._pick(EVERY)
        offer = self._offer() if name == "update" else ""
        self._disturb()
        self._traced(f"killed {name}", name, f"{call}:signal=KILL:when={number}", "", offer)
        if self._chance(2):
            self._traced(
                "killed again", self._pick(EVERY), f"rename:signal=KILL:when={number}", "", ""
            )
        self._after_fault()

    def _failing_call(self) -> None:
        """One call fails, aimed at a file of a release and what lies beside it."""
        call, error = self._pick(CALLS), self._pick(ERRORS)
        number = self._number(1, 5)
        name = self._pick(EVERY)
        offer = self._offer() if name == "update" else ""
        path = self._path()
        aimed = " ".join(f'-P "$A"/{shlex.quote(path + end)}' for end in ("", ".old", ".new"))
        when = self._pick([f"when={number}", f"when={number}", f"when={number}+"])
        self._disturb()
        self._traced(f"failing {name}", name, f"{call}:error={error}:{when}", aimed, offer)
        self._after_fault()

    def _traced(self, kind: str, name: str, fault: str, aimed: str, offer: str) -> None:
        options = "--quiet --no-restart" if name == "update" else ""
        blames = {
            "rollback": "installed >> blamed; ",
            "launch": "cut -d ' ' -f 1 characters >> blamed; ",
        }
        blame = blames.get(name, "")
        text = (
            f"{offer}{blame}clear; note; MODE=quick timeout -k 5 60 $AS strace -f -qq -o /dev/null "
            f'{aimed} -e inject={fault} updater {name} --dir "$A" {options} >out 2>err; R=$?\n'
            "[ $R = 137 ] || ended " + name
        )
        self._step(kind, text)

    def _after_fault(self) -> None:
        """Whoever comes next must find an application."""
        what = self._pick(["start", "start", "update", "recover", "nothing"])
        if what == "start":
            self._step("start quick", "starts quick", check="came_up")
        elif what == "update":
            self._step("update", "up")
        elif what == "recover":
            self._step("recover", 'clear; note; run $AS updater recover --dir "$A"')

    def _odd_environment(self) -> None:
        what = self._pick(
            [
                "locale",
                "locale",
                "no stderr",
                "full stdout",
                "umask",
                "clock",
                "files",
                "processes",
                "cp1252",
                "proxy",
            ]
        )
        offer = self._offer()
        update = 'updater update --dir "$A" --no-restart'
        begin = f"{offer}clear; note"
        calm = "; calm" if self._calm else ""
        self._disturb()
        if what == "locale":
            text = f"locale_\n{begin}; run $AS {LOCALE} {update}"
            self._step("locale", text)
            self._step(
                "start in locale",
                f'state; starts quick {LOCALE} "$S/launcher/start"',
                check="came_up",
            )
            return
        lines = {
            "no stderr": f"timeout -k 5 60 $AS {update} >out 2>&-; R=$?; ended update{calm}",
            "full stdout": f"timeout -k 5 60 $AS {update} >/dev/full 2>err; R=$?; ended update",
            "umask": f"umask 077; run $AS {update}; umask 022",
            "clock": f"run $AS faketime '{self._pick(['+2 days', '-400 days'])}' {update}",
            "files": f"(ulimit -n 24; run $AS {update})",
            "processes": f"(ulimit -u 1; run $USER_ {update})",
            "cp1252": f"PYTHONIOENCODING=cp1252 run $AS {update}",
            "proxy": f"http_proxy=http://me:s3cretpw@127.0.0.1:9 run $AS {update}",
        }
        self._step(what, f"{begin}; {lines[what]}")

    def _mounts(self) -> None:
        if self._mounted:
            return
        self._mounted = True
        what = self._pick(["install", "file"])
        if what == "install":
            self._step("mount: install", 'mount --bind "$A" "$A"; note')
            return
        quoted = shlex.quote(self._path())
        self._disturb()
        text = (
            f"there {quoted} && echo of the administrator > mounted && "
            f'mount --bind mounted "$A"/{quoted} && mine {quoted}; note'
        )
        self._step("mount: file", text)

    def _spoiler(self) -> None:
        """Another program writes into a new file in the middle of a commit."""
        quoted = shlex.quote(self._path())
        offer = self._offer()
        self._disturb()
        text = (
            f'there {quoted} && {{ {offer}python3 spoil.py "$A"/{quoted} & P=$!; sleep 0.2; up; '
            "kill $P; wait $P 2>/dev/null; }"
        )
        self._step("spoiler", text)

    def _host(self) -> None:
        """The host misbehaves; a file that is not needed is no reason not to update."""
        bundle = f"/{self._shelf.releases[self._offered].version}/*.bundle"
        fault = self._pick(["missing", "missing", "wrong", "page", "cut", "error", "slow"])
        where = self._pick(["/patches/", "/patches/", "timestamp", "/targets/", ".bundle"])
        if self._offered and self._chance(3):
            fault, where = "missing", bundle
        survives = where == bundle
        if where == "/patches/" and fault in {"missing", "wrong", "page"}:
            survives = True
        self._disturb(calm=survives)
        line = f"echo '{fault} {where}' > host; {self._offer()}up{self._must}"
        self._step(f"host: {fault} {where}", line if survives else f"{line}; rm -f host")

    def _stale_host(self) -> None:
        """A copy of the repository that is behind answers, after one that is not."""
        text = (
            f"mkdir -p repo/stale; cp -a repo/metadata repo/stale/; {self._offer()}up\n"
            f"if [ $R = 0 ] || [ $R = 10 ]; then echo 'stale timestamp' > host; up; "
            f'[ $R != 4 ] || fail "3 alarm: an edge behind is called an attack: $(cat err)"; fi\n'
            "rm -rf host repo/stale"
        )
        self._step("host: stale", text)

    @property
    def _must(self) -> str:
        """The check that an update was made, if nothing stands in its way."""
        return "; calm" if self._calm else ""
