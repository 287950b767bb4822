#!/usr/bin/env bash
# The disk is full while add-release writes its bundle. What it had half written goes away, so that the commands that
# keep users alive (promote, refresh, recall) still work on that disk.
. "$(dirname "$0")/../prelude.sh"

in_own_mounts
init
mv repo made
mkdir m
mount -t tmpfs -o size=2600k tmpfs m || skip "needs tmpfs"
clean() { umount -l "$W/m"; }
cp -a made m/repo
mkdir a b
head -c 1500000 /dev/urandom >a/x
head -c 1500000 /dev/urandom >b/x
on_disk() { patchtool "$1" m/repo "${@:2}" --keys keys --quiet; }
on_disk add-release --app app --version 1.0 a >/dev/null || fail "1.0"
on_disk add-release --app app --version 1.1 b >/dev/null 2>e && fail "1.1 fits?"
grep -q space e || fail "$(cat e)"
left=$(find m -name '*.part' -size +0 -printf '%f %s bytes ')
[ -z "$left" ] || fail "left: $left"
on_disk promote --app app --version 1.0 >/dev/null 2>e || fail "promote of 1.0 after it: $(head -1 e)"
on_disk refresh >/dev/null 2>e
code=$?
[ $code = 0 ] || [ $code = 10 ] || fail "refresh after it: $(head -1 e)"
on_disk recall --app app --version 1.0 >/dev/null 2>e || fail "recall after it: $(head -1 e)"
