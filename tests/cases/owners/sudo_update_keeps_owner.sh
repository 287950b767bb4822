#!/usr/bin/env bash
# root updates a user's install (sudo updater update). Afterwards all of it is the user's as before.
. "$(dirname "$0")/../prelude.sh"

needs_root
releases
begin r1 --config c.toml
chown -R 45678:45678 a .a.upswap
mkdir -p r2/new
echo n >r2/new/n
publish 2.0 r2 --config c.toml
update a || fail update
timeout 60 updater status --dir a >/dev/null 2>e || fail "status refuses after root's update: $(head -1 e)"
lost=$(find a .a.upswap ! -uid 45678)
[ -z "$lost" ] || fail "no longer the user's: $(echo "$lost" | head -3 | tr '\n' ' ')"
