#!/usr/bin/env bash
# The install folder is a mount (systemd ReadWritePaths=, a bind mount, a container volume), before an update or since
# then. A version fails its trial there: the old one comes up within two starts, and a good release follows.
. "$(dirname "$0")/../prelude.sh"

in_own_mounts
releases
printf 'entry = "bin/app"\nconfirm = "app"\n' >trial.toml
echo 'exit 3' >>r2/bin/app
init
publish 1.0 r1 --config c.toml
serve
inst before
inst since
mount --bind before before || skip "needs bind mounts"
clean() { umount -l "$W/before" "$W/since"; }
publish 2.0 r2 --config trial.toml
for i in before since; do
    update $i 2>e || fail "update of $i: $(cat e)"
    at $i 2.0
done
mount --bind since since
for i in before since; do
    timeout 60 updater launch --dir $i >o 2>e
    grep -qx 1 o || started $i 1
    at $i 1.0
done
publish 3.0 r3 --config c.toml
for i in before since; do
    update $i 2>e || fail "update of $i to 3.0: $(cat e)"
    started $i 3
    timeout 60 updater rollback --dir $i >/dev/null 2>e || fail "rollback of $i: $(cat e)"
    started $i 1
done
