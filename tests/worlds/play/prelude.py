"""Shell functions that every script begins with; those of the case scripts, and checks."""

from __future__ import annotations

HEADER = """\
#!/usr/bin/env bash
# Needs patchtool, patchserver and updater on PATH. Exit 0: the right behaviour holds.
set -u
if [ "$(id -u)" = 0 ] && [ -z "${OWN:-}" ]; then
  OWN=$(mktemp -d); export OWN; unshare -m bash "$0"; R=$?; rm -rf "${OWN:?}"; exit $R
fi
W=${OWN:-$(mktemp -d)}; chmod 755 "$W"; cd "$W" || exit; SRV=; PIDS=; A=$W/p/a
# as root, what is outside $W is read-only
[ -z "${OWN:-}" ] || { mount --bind "$W" "$W" && cd "$W" && mount -o remount,bind,ro /; } || exit
trap 'for p in $SRV $PIDS; do kill $p 2>/dev/null; done; wait 2>/dev/null; clean 2>/dev/null; \
chattr -R -i "$W" 2>/dev/null; chmod -R u+rwx "$W" 2>/dev/null; \\
rm -rf "${W:?}"/* "${W:?}"/.[!.]*' EXIT
clean() { :; }
"""
"""Of a printed script only: where it runs, and how it cleans up."""

FUNCTIONS = """\
export UPSWAP_KEY_PASSWORD=some-long-password
fail() { echo "FAIL: $*"; exit 1; }
init() { patchtool init repo --app app --keys keys --quiet >/dev/null 2>&1 || fail init; }
add() { v=$1; d=$2; shift 2; patchtool add-release repo --app app --version "$v" "$d" --keys keys \
--quiet "$@" >/dev/null 2>err || fail "add-release $v: $(cat err)"; }
offer() { patchtool promote repo --app app --version "$1" --keys keys --quiet >/dev/null 2>err \
|| fail "promote $1: $(cat err)"; }
serve() { patchserver serve --repo repo --port 0 2>serve.log & SRV=$!; for i in $(seq 100); do \
URL=$(grep -oE 'http://127[0-9.]*:[0-9]+' serve.log | head -1); [ -n "$URL" ] && return; \
sleep 0.1; done; fail serve; }
inst() { updater install --url "$URL" --root repo/metadata/1.root.json --app app --quiet "$1" \
>/dev/null 2>err || fail "install: $(cat err)"; }
# run COMMAND...: it ends within a minute, without a traceback, with an exit code of ours: $R
run() { timeout -k 5 60 "$@" >out 2>err </dev/null; R=$?; ended "$@"; }
ended() {
  [ $R != 124 ] && [ $R != 137 ] || fail "1 endless: $* does not end"
  ! grep -q Traceback out err || fail "1 traceback: $*: $(tail -n 1 err)"
  case " 0 2 3 4 5 6 7 10 " in *" $R "*) ;; *)
    fail "1 code: $* ends with $R: $(tail -n 1 err)"; esac
}
"""
"""``fail "2 mixed: words"`` begins with the promise and one word for the kind of breach."""
