#!/usr/bin/env bash
# A bad release is out while CI is building the next one (minutes). pause, recall and refresh are done within seconds
# nevertheless, and the build that runs ends well. The build stands still meanwhile, so it certainly lasts longer.
. "$(dirname "$0")/../prelude.sh"

init
tiny_releases
mkdir big
publish 1.0 r1
publish 1.1 r2
head -c 12000000 /dev/urandom >big/x
patchtool add-release repo --app app --version 1.2 big --keys keys --quiet --jobs 1 >ci 2>&1 &
BUILD=$!
PIDS=$BUILD
sleep 2.5
kill -STOP $BUILD 2>/dev/null || fail "the build is over already: $(cat ci)"
urgent() {
    timeout 20 patchtool "$1" repo "${@:2}" --keys keys >o 2>&1
    local code=$?
    [ $code = 0 ] || { [ "$1" = refresh ] && [ $code = 10 ]; } || fail "$1 during a build: exit code $code: $(head -1 o)"
}
urgent pause --app app --version 1.1
urgent recall --app app --version 1.1
urgent refresh
kill -CONT $BUILD
wait $BUILD || fail "the build was lost: $(cat ci)"
patchtool promote repo --app app --version 1.2 --keys keys --quiet >/dev/null || fail "1.2 is not there"
