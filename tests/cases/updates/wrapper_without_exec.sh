#!/usr/bin/env bash
# The entry is a shell script that does not exec: its shell holds what the application inherits. The tutorial's three
# lines do not restart for ever; after at most one more start the new version runs.
. "$(dirname "$0")/../prelude.sh"

echo 'entry = "run"' >release.toml
mkdir r1
printf '#!/bin/sh\npython3 "$(dirname "$0")/app.py"\necho left\n' >r1/run
chmod +x r1/run
cat >r1/app.py <<'P'
import pathlib, updater
here = pathlib.Path(__file__).resolve().parent
print("version 1", flush=True)
app = updater.Updater(here)
if app.update():
    app.restart()
P
cp -a r1 r2
sed -i 's/version 1/version 2/' r2/app.py
begin r1 --config release.toml
publish 2.0 r2 --config release.toml
timeout 40 .a.upswap/launcher/start >out 2>&1
code=$?
starts=$(grep -c 'version 1' out)
[ $code != 124 ] || fail "restarts for ever: $starts times"
[ "$starts" -ge 1 ] || fail "1.0 never ran: $(cat out)"
[ "$starts" -le 2 ] || fail "restarted $starts times"
sleep 3
timeout 40 .a.upswap/launcher/start >out2 2>&1
cat out out2 | grep -q 'version 2' || fail "2.0 never runs: $(tail -2 out2)"
