#!/usr/bin/env bash
# root owns the install, another user runs it. An update meanwhile waits for the next start. A start by that user, who
# may not change the install, cannot bring it: then it is said, at the update or at the start.
. "$(dirname "$0")/../prelude.sh"

needs_root
needs setpriv
releases
printf '#!/bin/sh\necho 1\nsleep ${SL:-0}\n' >r1/bin/app
begin r1 --config c.toml
chmod 755 .
publish 2.0 r2 --config c.toml
SL=8 user updater launch --dir a >/dev/null 2>&1 &
PIDS=$!
sleep 2
timeout 60 updater update --dir a --quiet --no-restart >o 2>&1 || fail "update: $(cat o)"
at_once=$(version a)
wait $PIDS
user updater launch --dir a >o2 2>e
user updater launch --dir a >o2 2>e
if [ "$at_once" = 2.0 ]; then
    grep -qx 2 o2 || fail "2.0 is there, and $(cat o2) starts: $(head -1 e)"
    exit 0
fi
grep -qx 2 o2 || [ -s e ] || ! grep -q "next start" o ||
    fail "'$(cat o)', but every start by the user runs $(cat o2) and says nothing"
