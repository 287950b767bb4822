#!/usr/bin/env bash
# An administrator gave a released file another group, an attribute and an access list: an update that changes the file
# keeps them.
. "$(dirname "$0")/../prelude.sh"

needs_root
needs setfattr getfattr setfacl getfacl
releases
begin r1
chgrp 45678 a/conf
chmod 640 a/conf
setfattr -n user.note -v kept a/conf 2>/dev/null || skip "no attributes on this disk"
setfacl -m u:45679:r a/conf 2>/dev/null || skip "no access lists on this disk"
getfacl a/conf >before 2>/dev/null
publish 2.0 r2
update a || fail update
cmp r2/conf a/conf || fail "not updated"
getfacl a/conf >after 2>/dev/null
cmp -s before after || fail "access became $(tr '\n' ' ' <after)"
[ "$(getfattr --only-values -n user.note a/conf 2>/dev/null)" = kept ] || fail "the attribute is gone"
