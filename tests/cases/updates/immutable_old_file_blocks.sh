#!/usr/bin/env bash
# A release's file that its administrator made immutable (chattr +i). An update either refuses and leaves the old release
# whole, or it works; and whatever cannot be removed of the old release never blocks the next update.
. "$(dirname "$0")/../prelude.sh"

needs_root
needs chattr
releases
chattr +i r1/conf 2>/dev/null && chattr -i r1/conf || skip "no immutable files on this disk"
clean() { chattr -R -i "$W"; }
begin r1 --config c.toml
chattr +i a/conf
publish 2.0 r2 --config c.toml
if update a 2>e; then
    started a 2
else
    grep -q conf e || fail "refused, and the file is not named: $(head -1 e)"
    started a 1
    at a 1.0
    chattr -i a/conf
fi
publish 3.0 r3 --config c.toml
update a 2>e
cp -a r3 r4
echo d >r4/conf
publish 4.0 r4 --config c.toml
update a 2>e || fail "exit code $?: $(head -1 e)"
at a 4.0
started a 3
