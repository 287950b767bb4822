#!/usr/bin/env bash
# A patch is gone from the host (404: lost by a sync, pruned, not yet at this edge). The new release's own bundle is
# there: an update and a new install use it, also when "old bundle + patch" is a few bytes smaller.
. "$(dirname "$0")/../prelude.sh"

big_releases
begin r1
publish 2.0 r2
rm repo/targets/app/patches/* || fail "there is no patch to lose"
update a || fail "update: no way, though the bundle of 2.0 is there"
cmp r2/big a/big || fail "wrong content"
inst b
cmp r2/big b/big || fail "wrong content"
