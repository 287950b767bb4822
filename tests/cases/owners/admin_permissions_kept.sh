#!/usr/bin/env bash
# An administrator narrowed a released file's permissions: an update that changes the file keeps them.
. "$(dirname "$0")/../prelude.sh"

releases
begin r1
echo mine >a/mine
chmod 750 a/bin/app
chmod 600 a/conf
publish 2.0 r2
update a || fail update
cmp r2/conf a/conf || fail "not updated"
modes="$(stat -c %a a/bin/app) $(stat -c %a a/conf)"
[ "$modes" = "750 600" ] || fail "750 600 became $modes"
