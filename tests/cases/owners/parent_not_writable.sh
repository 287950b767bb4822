#!/usr/bin/env bash
# Install and State belong to a service's user, the parent (/opt, /srv) to root: updates work, and so does the way back.
. "$(dirname "$0")/../prelude.sh"

needs_root
needs setpriv
releases
chmod 755 .
begin r1 --config c.toml
chown -R 45678:45678 a .a.upswap
publish 2.0 r2 --config c.toml
user updater update --dir a --quiet --no-restart >/dev/null 2>e || fail "exit code $?: $(cat e)"
user updater launch --dir a >o 2>e
grep -qx 2 o || fail "it does not start: $(head -1 e)"
user updater rollback --dir a >/dev/null 2>e || fail "rollback: $(head -1 e)"
user updater launch --dir a >o 2>e
grep -qx 1 o || fail "1.0 does not start: $(head -1 e)"
