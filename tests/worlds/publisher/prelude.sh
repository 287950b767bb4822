# Shell functions of a publisher's worlds, sourced by each; see publisher.py.
NOW=0      # days that have gone by since the world began
WRONG=0    # days by which the publisher's clock is wrong
REPO=repo  # the repository commands work on
KEYS=keys
URLS=      # --url: doctor looks at the host
AHEAD=     # --remembered: clients have seen a time that was ahead
KILLED=    # a command was killed, and none has ended well since then

FAKE=$(faketime -f +0d printenv LD_PRELOAD)
# clock DAYS: of this shell and what it starts; files keep their times
clock() {
  [ "$1" = 0 ] || export LD_PRELOAD="$FAKE" FAKETIME="$(printf %+d "$1")d" NO_FAKE_STAT=1
}
in_days() { (clock "$1"; exec "${@:2}"); }
# timed COMMAND...: by the clock, within a minute, without a traceback, with an exit code of ours: $R
timed() {
  in_days $((NOW + WRONG)) timeout -k 5 60 "$@" >out 2>err </dev/null; R=$?
  ended "$@"
}
# pub COMMAND [OPTION...]: the publisher's command; it leaves nothing that it does not need
pub() {
  timed patchtool "$1" $REPO "${@:2}" --keys $KEYS --quiet ${SAID:+--clock "$SAID"}
  ! grep -q "unrecognized arguments" err || fail "0 usage: $(tail -n 1 err)"
  tidy "$1"
}
# later DAYS: so many days later; who signs then says the date
later() { NOW=$((NOW + $1)); [ $NOW = 0 ] || said; }
said() { SAID=$(date -u -d "$NOW days" +%F); }
SAID=
app() { pub "$1" "${@:2}" --app app; }
well() { [ $R = 0 ] || [ $R = 10 ]; }
tidy() {
  [ $R != 0 ] || KILLED=
  [ -z "$KILLED" ] || return 0
  left=$(find repo* copy host tmp -mindepth 1 \( -name '*.part' -o -name '*upswap-*' -o -name .unfinished \) \
    -printf '%p (%s bytes) ' 2>/dev/null)
  [ -z "$left" ] || fail "6 litter: $1 ends with $R and leaves $left"
}
# at DAYS COMMAND...: with a clock that is wrong by so much
at() { WRONG=$1; "${@:2}"; WRONG=0; }
# sure DAYS COMMAND...: the same, and who signs says that the clock is right; later it is put right
sure() {
  SAID=$(date -u -d "$((NOW + $1)) days" +%F); at "$@"; said; AHEAD=--remembered
}
judge() {
  case $1 in repo) set -- "$@" $URLS ;; esac
  in_days $NOW python3 judge.py look "$@" $AHEAD || exit 1
}
host() {
  rm -f serving; python3 judge.py serve & SRV=$!
  for i in $(seq 200); do [ ! -e serving ] || return 0; sleep 0.05; done
  fail "no host"
}
# release VERSION BASE: a folder that differs a little from another one
release() {
  mkdir -p rel; [ -z "${2:-}" ] && mkdir "rel/$1" || cp -a "rel/$2" "rel/$1"
  echo "$1" > "rel/$1/version"; echo "$1 of app" >> "rel/$1/log"; mkdir -p "rel/$1/data"
  seq 3000 > "rel/$1/data/numbers"; echo "$1" >> "rel/$1/data/numbers"
}
# build VERSION BYTES: starts a build that takes a while
build() {
  mkdir -p "rel/$1"; echo "$1" > "rel/$1/version"; head -c "$2" /dev/urandom > "rel/$1/noise"
  slowly add-release --version "$1" "rel/$1" --jobs 1
}
# slowly COMMAND [OPTION...]: starts it, and goes on: $BUILD
slowly() {
  (clock $NOW; exec patchtool "$1" $REPO "${@:2}" --app app --keys $KEYS --quiet \
    ${SAID:+--clock "$SAID"}) >ci 2>&1 </dev/null &
  BUILD=$!
}
# halt: stops the build where it stands, but not in the moment in which it publishes
halt() {
  kill -STOP $BUILD
  for i in $(seq 10); do
    ! flock -n repo/.lock true 2>/dev/null || return 0
    kill -CONT $BUILD; sleep 0.05; kill -STOP $BUILD
  done
}
# building: waits until it has something in its scratch folder, or is over
building() {
  for i in $(seq 800); do
    kill -0 $BUILD 2>/dev/null || return 1
    for at in repo/.upswap-* tmp/*upswap-*; do
      [ ! -d "$at" ] || [ -z "$(ls -A "$at")" ] || return 0
    done
    sleep 0.01
  done
  return 1
}
# urgent COMMAND...: works at once, whatever else is going on
urgent() {
  in_days $NOW timeout -k 5 20 patchtool "$1" $REPO "${@:2}" --keys $KEYS --quiet --wait 5 \
    ${SAID:+--clock "$SAID"} >out 2>err </dev/null; R=$?
  [ $R != 124 ] || fail "6 urgent: $1 waits for a build"
  ended "$1"
  if grep -qE 'another|at work' err; then fail "6 urgent: $1 is refused during a build: $(head -n 1 err)"; fi
}
# copying: waits until a host is half filled, or the command is over
copying() {
  for i in $(seq 80000); do
    kill -0 $BUILD 2>/dev/null || return 1
    ! compgen -G "host/targets/*/*/*" >/dev/null || return 0
  done
  return 1
}
# finished: the build that was started ends by itself, within a minute; $R
finished() {
  for i in $(seq 600); do kill -0 $BUILD 2>/dev/null || break; sleep 0.1; done
  ! kill -0 $BUILD 2>/dev/null || fail "1 endless: a build does not end"
  wait $BUILD; R=$?
  ! grep -q Traceback ci || fail "1 traceback: a build: $(tail -n 1 ci)"
}
# small KILOBYTES: the repository is on a disk that has so much room
small() {
  ROOM="size=$(($(du -sk repo | cut -f1) + $1))k"
  if mountpoint -q repo; then mount -o "remount,$ROOM" repo; return; fi
  mv repo repo.was; mkdir repo
  mount -t tmpfs -o "$ROOM" tmpfs repo || fail "no tmpfs"
  cp -a repo.was/. repo/; rm -rf repo.was
}
# copied FOLDER PERCENT SEED: a host filled by a tool that copies files in any order, stopped on the way
copied() {
  rm -rf "$1"; mkdir "$1"
  (cd repo && find metadata targets -type f | sort | shuf --random-source=<(yes "$3")) >names
  head -n $(($(wc -l <names) * $2 / 100)) names | while read -r name; do
    mkdir -p "$1/$(dirname "$name")"; cp -p "repo/$name" "$1/$name"; done
}
shown() { ln -sfn "$1" site; }
# while_building VERSION COMMAND...: an urgent command while a build stands still, which ends then
while_building() {
  build "$1" 200000
  if building; then halt; fi
  urgent "${@:2}"; kill -CONT $BUILD 2>/dev/null
  finished
}
# while_copying COMMAND...: the same while a host is filled
while_copying() {
  rm -rf host
  (clock $NOW; exec patchtool sync repo host --quiet) >ci 2>&1 </dev/null & BUILD=$!
  if copying; then kill -STOP $BUILD; fi
  urgent "$@"; kill -CONT $BUILD 2>/dev/null
  finished
}
# kill_build: the last one started, at once
kill_build() { KILLED=1; kill -9 $BUILD 2>/dev/null; wait $BUILD; }
# too_large VERSION: a release that fits on no small disk
too_large() {
  mkdir "rel/$1"; echo "$1" > "rel/$1/version"; head -c 1500000 /dev/urandom > "rel/$1/noise"
  app add-release --version "$1" "rel/$1"
  [ $R != 0 ] || fail "0 room: it fits"
}
# any_file NUMBER FOLDER...: one of the files there: $FILE
any_file() {
  find "${@:2}" -type f | sort >names
  FILE=$(sed -n $(($1 % $(wc -l <names) + 1))p names)
}
