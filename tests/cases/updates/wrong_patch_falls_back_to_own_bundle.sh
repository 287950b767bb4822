#!/usr/bin/env bash
# A host serves other bytes for a patch. The new release's own bundle is there: an update and a new install use it.
. "$(dirname "$0")/../prelude.sh"

big_releases
begin r1
publish 2.0 r2
for patch in repo/targets/app/patches/*; do
    head -c "$(stat -c %s "$patch")" /dev/urandom >wrong
    cp wrong "$patch" || fail "there is no patch to spoil"
done
update a || fail "update: no way, though the bundle of 2.0 is there"
cmp r2/big a/big || fail "wrong content"
inst b
cmp r2/big b/big || fail "wrong content"
