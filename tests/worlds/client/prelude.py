"""Shell functions of the client's worlds, on top of `prelude.FUNCTIONS`."""

from __future__ import annotations

HELPERS = ("look.py", "host.py", "program.py", "spoil.py")

CLIENT = r"""
fill() { python3 -SEs -c 'import random, sys
sys.stdout.buffer.write(random.Random(sys.argv[1]).randbytes(int(sys.argv[2])))' "$1" "$2"; }
grow() { for i in $(seq "$2"); do printf 'x%.0s' $(seq 5000); fill "$i" 700; done >> "$1"; }
# Files that the commands open are made here, so that whoever runs them may write them.
clear() { : > out; : > err; : > starts; chmod 666 out err starts; }
host() { python3 -SEs host.py repo > port & SRV=$!
  for i in $(seq 100); do [ -s port ] && break; sleep 0.05; done
  URL=http://127.0.0.1:$(cat port); }
state() { S=$(dirname "$A")/.$(basename "$A").upswap; [ -d "$S" ] || S=$A/.upswap; }
locale_() { [ -d lp ] || { mkdir lp
  localedef -i en_US -f ISO-8859-1 lp/en_US.ISO-8859-1 >/dev/null 2>&1; }; }
USER_="setpriv --reuid 45678 --regid 45678 --clear-groups --inh-caps +dac_read_search \
--ambient-caps +dac_read_search"
MOUNTED=
# beside: $D is the folder around the install, and in this world
beside() { D=$(dirname "${A:?}"); case $D in "${W:?}"/?*) ;; *) fail "$A is not in $W"; esac; }
note() { python3 -SEs look.py note "$A" "$@" || exit 1; }
mine() { python3 -SEs look.py mine "$A" "$@" || exit 1; }
gone() { python3 -SEs look.py gone "$A" "$@" || exit 1; }
after() { python3 -SEs look.py after "$A" "$@" || exit 1
  [ -z "$MOUNTED" ] || [ "$A/$MOUNTED" -ef mounted ] || fail "4 mount: $MOUNTED is no longer \
the mounted file"; }
# there PATH: whether the install has it as a plain file now
there() { [ -f "$A/$1" ] && [ ! -L "$A/$1" ]; }
installed() { state; sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' "$S/release.json" 2>/dev/null; }
up() { clear; note; run $AS updater update --dir "$A" --quiet --no-restart "$@"; }
begins() { clear; run updater install --url "$URL" --root repo/metadata/1.root.json --app app \
--quiet "$A"; [ $R = 0 ] || fail "3 refused: install: exit code $R: $(tail -n 2 err)"; }
# calm: nothing stands in its way, so it is done
calm() { [ $R = 0 ] || [ $R = 10 ] || fail "3 refused: exit code $R: $(tail -n 2 err)"; }
# spoke: whoever fails says why
spoke() { R=$(cat code); [ "$R" = 0 ] || [ "$R" = 10 ] || [ -s err ] \
|| fail "1 silent: exit code $R without a word"; }
# twice: what waits for the next start is told as done once
twice() { up --json; [ $R = 0 ] || return 0; T=$(grep -o '"to": "[^"]*"' out); up --json
  [ $R != 0 ] || [ "$T" != "$(grep -o '"to": "[^"]*"' out)" ] \
|| fail "1 again: two updates in a row say that $T is done"; }
# own PATH WORDS: the user makes a file of their own; edit: changes one that is there
own() { [ -e "$A/$1" ] || [ -L "$A/$1" ] || { D=$(dirname "$A/$1")
  [ -d "$D" ] || { mkdir -p "$D" 2>/dev/null && chown --reference="$A" "$D"; }
  echo "$2" 2>/dev/null > "$A/$1" && chown --reference="$A" "$A/$1" && mine "$1"; }; }
edit() { there "$1" && echo "$2" 2>/dev/null > "$A/$1" && mine "$1"; }
drop() { there "$1" && rm -f "$A/$1" 2>/dev/null && gone "$1"; }
relink() { [ -d "$A/$1" ] && [ ! -L "$A/$1" ] && [ ! -e "$2" ] && mv "$A/$1" "$2" &&
  ln -s "$2" "$A/$1" && chown -h --reference="$A" "$A/$1" &&
  python3 -SEs look.py linked "$A" "$1" "$2"; }
mounts() { cp -p "$A/$1" mounted && mount --bind mounted "$A/$1" &&
  MOUNTED=$(realpath --relative-to="$(realpath "$A")" "$A/$1"); }
identity() { $AS updater identity --dir "$1" 2>&1; }
twins() { [ "$(identity "$1")" != "$(identity "$2")" ] \
|| fail "3 twins: a copy has the identity of its original"; }
quit() { kill $1 2>/dev/null; wait $1 2>/dev/null; }
blame() { installed >> blamed; sort -u starts >> blamed; }
# starts MODE [COMMAND...]: through the launcher
starts() { clear; note; state; M=$1; shift
  [ $# != 0 ] || set -- "$S/launcher/start"
  MODE=$M STARTS=$W/starts timeout -k 5 60 $AS "$@" >out 2>err </dev/null; R=$?
  case $M in crash|hang|late|mute) blame;; esac
  [ $R != 124 ] && [ $R != 137 ] || fail "1 endless: the start does not end"
  N=$(wc -l < starts); [ $N -le 4 ] || fail "1 restarts: the program was started $N times"
  ! grep -q Traceback err || fail "1 traceback: the start: $(tail -n 1 err)"
  ! grep -q ^mixed out || fail "2 mixed: $(cat out)"; }
# came_up: it is a version that does not fail by itself, and then it ends well
came_up() { V=$(grep -xE '[0-9]+\.0' out | tail -n 1)
  [ -n "$V" ] || fail "2 start: no version starts, exit code $R: $(tail -n 2 err)"
  grep -q "^$V good" characters || return 0
  [ $R = 0 ] || fail "2 start: $V ends with $R: $(tail -n 2 err)"; }
# heard: a version that confirms itself when it is started directly is confirmed
heard() { V=$(installed); [ $R = 0 ] && grep -qx "$V" confirming 2>/dev/null || return 0
  ! $AS updater status --dir "$A" | grep -q unconfirmed || fail "2 deaf: $V has confirmed itself, \
and is unconfirmed"; }
# background PREFIX...: the application runs in a session of its own, until stop or power_cut
background() { state; clear; note
  MODE=serve STARTS=$W/starts setsid $* "$S/launcher/start" >bg 2>&1 </dev/null & L=$!
  begun; }
# begun: the application has been started just now
begun() { for i in $(seq 60); do [ -s starts ] && break; sleep 0.05; done; }
stop() { kill -TERM -- -$L 2>/dev/null; for i in $(seq 150); do
    kill -0 -- -$L 2>/dev/null || break; sleep 0.1; done
  kill -KILL -- -$L 2>/dev/null && fail "1 endless: a start does not end when it is stopped"
  wait $L 2>/dev/null; }
power_cut() { kill -KILL -- -$L; wait $L 2>/dev/null; }
# foreign: somebody who may not change the install starts it, and an update waits
foreign() { grep -q "next start" out || return 0
  AS=$USER_; starts quick; starts quick; AS=
  grep -q "$(sed 's/ .*//' out)" out || [ -s err ] || fail "3 silent: what waits never comes, \
and no start says so"; }
at_peace() { chattr -R -i p q moved* 2>/dev/null; pkill -f "$W/.*(app.py|/run)"
  pkill -xf 'sleep 4.0625'; rm -f host
  [ -z "$MOUNTED" ] || umount -l "$A/$MOUNTED"; MOUNTED=; }
# narrow: State is no wider than a private install
narrow() { state; [ $(( 0$(stat -c %a "$S") & ~0$(stat -c %a "$A") & 077 )) = 0 ] \
|| fail "4 widened: $S has mode $(stat -c %a "$S")"; }
# older: an older folder lies beside a newer State
older() { python3 -SEs look.py forget "$A"; V=$(installed)
  clear; run $AS updater verify --dir "$A"
  if [ "$(cat "$A/ver")" != "$V" ]; then
    [ $R = 6 ] || fail "2 clean: $(cat "$A/ver") lies in the place of $V, and verify ends with $R"
    ! updater status --dir "$A" | grep -q '^state: clean' || fail "2 clean: $(cat "$A/ver") lies \
in the place of $V, and status says clean"
  fi
  run $AS updater repair --dir "$A"; calm
  after strict; }
# newest: from here 9.0 can be installed with ordinary commands
newest() { T=
  for c in update update update recover update repair update update launch update; do
    clear; note
    if [ $c = launch ]; then MODE=quick starts quick; else
      run $AS updater $c --dir "$A" --quiet $([ $c != update ] || echo --no-restart); fi
    T="$T $c: $R ($(grep -h error: err | head -n 1));"
    [ "$(installed)" = 9.0 ] && return
  done
  fail "3 stuck: $(installed) stays:$T"; }
# settled: nothing is on trial that has confirmed itself, or needs not
settled() { grep -q health r9.toml || ! updater status --dir "$A" | grep -q unconfirmed \
|| fail "3 unsettled: 9.0 is still on trial"; }
"""
