#!/usr/bin/env bash
# The administrator has mounted files of their own over some of the release (docker -v conf:/app/conf). An update either
# keeps them in force, or refuses and names them; it does not silently put the released ones in their place.
. "$(dirname "$0")/../prelude.sh"

in_own_mounts
releases
begin r1 --config c.toml
inst b
over() { # FILE FOLDER/PATH: mounts a copy
    cp -p "$2" "$1"
    mount --bind "$1" "$2" || skip "needs bind mounts"
}
over stays a/lib/same
over changes b/conf
clean() { umount -l a/lib/same b/conf; }
publish 2.0 r2 --config c.toml
update a 2>e
code=$?
[ a/lib/same -ef stays ] || fail "update: exit code $code, nothing said ($(cat e)); a/lib/same is another file now"
[ $code = 0 ] || grep -q lib/same e || fail "refused, and the file is not named: $(head -1 e)"
update b 2>e
code=$?
[ b/conf -ef changes ] || fail "update: exit code $code, nothing said ($(cat e)); b/conf is another file now"
[ $code = 0 ] || grep -q conf e || fail "refused, and the file is not named: $(head -1 e)"
timeout 60 updater launch --dir b >o 2>e
grep -qxE '1|2' o || fail "nothing starts: $(head -1 e)"
umount b/conf
update b 2>e
code=$?
[ $code = 0 ] || [ $code = 10 ] || timeout 60 updater repair --dir b --quiet >/dev/null 2>e || fail "no way on: $(head -1 e)"
started b 2
