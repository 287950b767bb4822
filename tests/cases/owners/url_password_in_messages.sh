#!/usr/bin/env bash
# A password in the repository's URL is not repeated in messages, and what keeps it is readable by its owner only.
. "$(dirname "$0")/../prelude.sh"

init
mkdir r
echo 1 >r/a
publish 1.0 r
serve
silent() { grep -q s3cretpw "$1" && fail "message of $2: $(head -1 "$1")"; }
if ! updater install --url "${URL/http:\/\//http://me:s3cretpw@}" --root repo/metadata/1.root.json --app app --quiet a >out 2>&1; then
    silent out install
    exit 0 # refused: good too
fi
kill "$SRV"
wait "$SRV" 2>/dev/null
SRV=
for command in check update status repair; do
    timeout 100 updater $command --dir a >out 2>&1
    silent out $command
    timeout 100 updater $command --dir a --json >out 2>&1
    silent out "$command --json"
done
timeout 100 updater check --dir a >out 2>&1
[ $? = 3 ] || fail "no network error: $(cat out)"
for file in $(grep -rl s3cretpw .a.upswap); do
    [ $((0$(stat -c %a "$file") & 077)) = 0 ] || fail "$file is readable by others ($(stat -c %A "$file"))"
done
exit 0
