#!/usr/bin/env bash
# Standard error is closed (daemons, cron wrappers, pythonw): commands do their work all the same.
. "$(dirname "$0")/../prelude.sh"

releases
begin r1 --config c.toml
publish 2.0 r2 --config c.toml
timeout 60 updater update --dir a --no-restart >/dev/null 2>&-
code=$?
[ "$code $(version a)" = "0 2.0" ] || fail "update with 2>&-: exit code $code, version $(version a)"
timeout 60 updater verify --full --dir a >/dev/null 2>&- || fail "verify --full with 2>&-: exit code $?"
patchtool add-release repo --app app --version 3.0 r3 --keys keys >/dev/null 2>&- || fail "add-release with 2>&-: exit code $?"
patchtool promote repo --app app --version 3.0 --keys keys >/dev/null 2>&- || fail "promote with 2>&-: exit code $?"
patchtool doctor repo >/dev/null 2>&- || fail "doctor with 2>&-: exit code $?"
