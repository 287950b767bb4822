#!/usr/bin/env bash
# `patchtool inspect P | head -1`, a console that cannot show a name and a full disk behind it end without a traceback.
. "$(dirname "$0")/../prelude.sh"

mkdir a b
echo 1 >a/x
cp a/x b/
for i in $(seq 3000); do echo "$i" >"b/файл-$i"; done
patchtool diff a b -o p --quiet >/dev/null 2>&1 || fail diff
[ "$(patchtool inspect p | wc -l)" -gt 3000 ] || fail "there is nothing to cut off"
patchtool inspect p 2>err | head -1 >/dev/null
grep -q Traceback err && fail "closed pipe: traceback"
PYTHONIOENCODING=cp1252 patchtool inspect p >out 2>err
code=$?
grep -q Traceback err && fail "cp1252 console: traceback, exit code $code"
[ "$(wc -l <out)" -gt 3000 ] || fail "cp1252 console: $(wc -l <out) lines, exit code $code"
patchtool inspect p >/dev/full 2>err && fail "full disk behind stdout: exit code 0"
grep -q Traceback err && fail "full disk behind stdout: traceback"
exit 0
