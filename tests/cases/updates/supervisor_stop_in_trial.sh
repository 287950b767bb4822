#!/usr/bin/env bash
# A service manager stops a healthy new version before its trial is through (systemctl restart, log-out, reboot), with
# the default starts = 1. That says nothing about the version: it is given a start again.
. "$(dirname "$0")/../prelude.sh"

cat >release.toml <<'T'
entry = "run"
confirm = {mode = "health", health = ["check"], starts = 1, seconds = 20}
T
mkdir r1
cat >r1/run <<'R'
#!/bin/sh
trap "exit 0" TERM
i=0; while [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done # v1
R
printf '#!/bin/sh\nsleep 3\n' >r1/check
chmod +x r1/*
cp -a r1 r2
sed -i s/v1/v2/ r2/run
begin r1 --config release.toml
publish 2.0 r2 --config release.toml
update a || fail update
.a.upswap/launcher/start &
L=$!
PIDS=$L
sleep 1.5
kill -TERM $L
wait $L
.a.upswap/launcher/start &
L=$!
PIDS=$L
sleep 7
now=$(updater status --dir a)
kill -TERM $L
wait $L
echo "$now" | grep -q '^version: 2.0' || fail "a healthy 2.0 was taken back: $(echo "$now" | tr '\n' ' ')"
