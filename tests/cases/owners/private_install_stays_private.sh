#!/usr/bin/env bash
# A private install (0700) with a file its user made private (0600) stays private over an update and the way back.
. "$(dirname "$0")/../prelude.sh"

releases
begin r1 --config c.toml
chmod 700 a a/lib a/gone
chmod 600 a/lib/same
publish 2.0 r2 --config c.toml
private() {
    local modes
    modes="$(stat -c %a a) $(stat -c %a a/lib) $(stat -c %a a/lib/same)"
    [ "$modes" = "700 700 600" ] || fail "$1: 700 700 600 became $modes"
}
update a || fail update
private update
timeout 60 updater rollback --dir a >/dev/null || fail rollback
private rollback
[ "$(stat -c %a a/gone)" = 700 ] || fail "a folder that went and came back: 700 became $(stat -c %a a/gone)"
