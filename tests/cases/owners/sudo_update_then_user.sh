#!/usr/bin/env bash
# root updates a user's install once; then the user goes on updating by themselves.
. "$(dirname "$0")/../prelude.sh"

needs_root
needs setpriv
releases
begin r1 --config c.toml
echo mine >a/mine
chown -R 45678:45678 a .a.upswap .
chmod 755 .
publish 2.0 r2 --config c.toml
update a || fail update
publish 3.0 r3 --config c.toml
user updater update --dir a --quiet --no-restart >/dev/null 2>e || fail "the user's update: $(head -1 e)"
at a 3.0
user updater recover --dir a >/dev/null 2>e || fail "the user's recover: $(head -1 e)"
user updater rollback --dir a >/dev/null 2>e || fail "the user's rollback: $(head -1 e)"
at a 2.0
