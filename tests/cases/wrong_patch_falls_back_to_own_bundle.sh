#!/usr/bin/env bash
# A host serves other bytes for a patch. The new release's own bundle is there: an update and a new install use it.
. "$(dirname "$0")/prelude.sh"

init
mkdir r1
head -c 300000 /dev/urandom >r1/big
cp -a r1 r2
printf 'x%.0s' $(seq 5000) >>r2/big
head -c 700 /dev/urandom >>r2/big
add 1.0 r1
offer 1.0
serve
inst a
add 2.0 r2
offer 2.0
for patch in repo/targets/app/patches/*; do
    head -c "$(stat -c %s "$patch")" /dev/urandom >wrong
    cp wrong "$patch" || fail "there is no patch to spoil"
done
update a || fail "update: no way, though the bundle of 2.0 is there"
cmp r2/big a/big || fail "wrong content"
inst b
cmp r2/big b/big || fail "wrong content"
