#!/usr/bin/env bash
# A release turns a folder into a symlink. A version that does not come up is taken back all the same, by its start and
# by `rollback`.
. "$(dirname "$0")/../prelude.sh"

init
cat >release.toml <<'T'
entry = "run"
confirm = {mode = "health", health = ["run", "--check"], starts = 1, seconds = 5}
T
mkdir -p r1/t
echo 1 >r1/t/f1
printf '#!/bin/sh\nexit 0\n' >r1/run
chmod +x r1/run
cp -a r1 r2
mv r2/t r2/u
ln -s u r2/t
printf '#!/bin/sh\nexit 3\n' >r2/run
publish 1.0 r1 --config release.toml
serve
for i in a b; do
    inst $i
    echo mine >$i/mine.txt
done
publish 2.0 r2 --config release.toml
update a || fail "update a"
update b || fail "update b"
[ -L a/t ] && [ -L b/t ] || fail "2.0 is not there"
timeout 60 updater launch --dir a
at a 1.0
updater rollback --dir b >/dev/null || fail "rollback refused"
rm a/mine.txt b/mine.txt
diff -r --no-dereference r1 a && diff -r --no-dereference r1 b || fail "not as it was"
