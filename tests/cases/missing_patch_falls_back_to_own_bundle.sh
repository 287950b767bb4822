#!/usr/bin/env bash
# A patch is gone from the host (404: lost by a sync, pruned, not yet at this edge). The new release's own bundle is
# there: an update and a new install use it, also when "old bundle + patch" is a few bytes smaller.
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
rm repo/targets/app/patches/* || fail "there is no patch to lose"
update a || fail "update: no way, though the bundle of 2.0 is there"
cmp r2/big a/big || fail "wrong content"
inst b
cmp r2/big b/big || fail "wrong content"
