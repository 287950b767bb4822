#!/usr/bin/env bash
# The build machine's clock is wrong. It is behind what the repository was signed at: what is signed now has expired for
# every client. Or it is far ahead: nobody is offered what is promoted. The command refuses, or `doctor` says so with its
# exit code; it does not end well in both places.
. "$(dirname "$0")/../prelude.sh"

needs faketime
init
tiny_releases
publish 1.0 r1
serve
inst A
add 1.1 r2
if faketime "+400 days" patchtool promote repo --app app --version 1.1 --keys keys --quiet >o 2>&1; then
    sleep 1.2
    updater check --dir A >c 2>&1
    code=$?
    patchtool doctor repo >d 2>&1
    doctor=$?
    [ $code = 0 ] || [ $doctor != 0 ] || fail "clock ahead: promote says '$(cat o)', check says '$(cat c)', doctor ends with 0"
else
    grep -qi clock o || fail "clock ahead, refused for another reason: $(cat o)"
fi
faketime "-400 days" patchtool promote repo --app app --version 1.1 --keys keys --quiet >o 2>&1
code=$?
sleep 1.2
updater check --dir A >c 2>&1
client=$?
[ $code != 0 ] || [ $client != 4 ] || fail "clock behind: promote ends with 0 and clients are refused: $(head -1 c)"
[ $code = 0 ] || grep -qi clock o || fail "clock behind, refused for another reason: $(cat o)"
offer 1.1
updater check --dir A >c 2>&1 || fail "with the right clock again: $(head -1 c)"
