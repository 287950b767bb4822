"""Writes the program of a release; a helper of scripts, standard library only.

    program.py FOLDER VERSION FORM CHARACTER [HABIT...]

FORM is sh, python, wrapper (a shell that stays) or exec (one that does not). CHARACTER is good, or
what it does by itself: crash, hang, late (crashes after it has confirmed), mute (never confirms),
sick (its health command fails). HABITS: confirms; updates (the tutorial's lines); child (leaves a
child that inherits everything); abrupt (ends with 9 when it is told to end); needs (imports a
module that only PYTHONPATH leads to); slow (its health command takes a second).

The program prints its version, first of all checks that `ver` beside it is of the same, and then
does what the variable MODE says: look (nothing more), quick, serve (until SIGTERM), crash, hang,
late, mute. It notes each start in the file that STARTS names.
"""

from __future__ import annotations

import sys
from pathlib import Path

SHELL = """\
#!/bin/sh
h=$(dirname "$0")
[ "$(cat "$h/ver")" = VERSION ] || { echo "mixed VERSION $(cat "$h/ver")"; exit 9; }
echo VERSION
[ "${MODE:-quick}" != look ] || exit 0
[ -z "${STARTS:-}" ] || echo VERSION >> "$STARTS"
case CHARACTER/${MODE:-quick} in
crash/*|late/*|*/crash|*/late) exit 3 ;;
hang/*|*/hang) exec sleep 30 ;;
*/serve) trap 'exit ABRUPT' TERM; i=0; while [ $i -lt 200 ]; do sleep 0.1; i=$((i+1)); done ;;
esac
exit 0
"""
PYTHON = """\
#!/usr/bin/env python3
import os, pathlib, signal, subprocess, sys, time
here = pathlib.Path(__file__).resolve().parent
beside = (here / "ver").read_text().strip()
if beside != "VERSION":
    print("mixed VERSION", beside)
    sys.exit(9)
print("VERSION", flush=True)
mode = os.environ.get("MODE", "quick")
if mode == "look":
    sys.exit(0)
if os.environ.get("STARTS"):
    with open(os.environ["STARTS"], "a") as starts:
        starts.write("VERSION\\n")
character, habits = "CHARACTER", "HABITS".split()
if "crash" in (character, mode):
    sys.exit(3)
if "hang" in (character, mode):
    time.sleep(30)
if "needs" in habits:
    import world_extra
import updater
if "child" in habits:
    quiet = subprocess.DEVNULL
    subprocess.Popen(["sleep", "4.0625"], close_fds=False, stdin=quiet, stdout=quiet, stderr=quiet)
if "updates" in habits:
    app = updater.Updater(here)
    try:
        if app.update():
            app.restart()  # becomes the new version; does not return
    except updater.UpdaterError as error:
        print(f"error: {error}\\nhint: {error.hint}", file=sys.stderr)
if "confirms" in habits and "mute" not in (character, mode):
    updater.confirm()
if "late" in (character, mode):
    time.sleep(0.5)
    sys.exit(3)
if mode == "serve":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(9 if "abrupt" in habits else 0))
    time.sleep(20)
"""
WRAPPER = '#!/bin/sh\npython3 "$(dirname "$0")/app.py" "$@"\nR=$?\nexit $R\n'
EXEC = '#!/bin/sh\nexec python3 "$(dirname "$0")/app.py" "$@"\n'


def main(folder: Path, version: str, form: str, character: str, habits: list[str]) -> None:
    """Write it."""

    def text(source: str) -> str:
        source = source.replace("VERSION", version).replace("CHARACTER", character)
        source = source.replace("ABRUPT", "9" if "abrupt" in habits else "0")
        return source.replace("HABITS", " ".join(habits))

    files = {"ver": f"{version}\n"}
    if form == "sh":
        files["run"] = text(SHELL)
    elif form == "python":
        files["run"] = text(PYTHON)
    else:
        files["run"] = WRAPPER if form == "wrapper" else EXEC
        files["app.py"] = text(PYTHON)
    pause = "sleep 1\n" if "slow" in habits else ""
    files["check"] = f"#!/bin/sh\n{pause}exit {3 if character == 'sick' else 0}\n"
    for name, content in files.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o644 if name == "ver" else 0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
