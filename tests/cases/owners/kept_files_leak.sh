#!/usr/bin/env bash
# A private install (0700): what is kept of it beside it, for a rollback, is as private as it was in there.
. "$(dirname "$0")/../prelude.sh"

releases
begin r1 --config c.toml
chmod 700 a
echo password=secret >a/conf
echo password=secret >a/bin/app
chmod 755 .
publish 2.0 r2 --config c.toml
update a || fail update
kept=$(grep -rl password=secret a .a.upswap)
[ -n "$kept" ] || fail "what the user wrote is gone"
readable() { # by everybody: x of every folder on the way, r of the file
    local path=$1
    [ $((0$(stat -c %a "$path") & 4)) != 0 ] || return 1
    while path=$(dirname "$path") && [ "$path" != . ]; do
        [ $((0$(stat -c %a "$path") & 1)) != 0 ] || return 1
    done
}
for file in $kept; do
    readable "$file" && fail "$file can be read by everybody: $(stat -c %a "$file")"
done
exit 0
