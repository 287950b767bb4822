#!/usr/bin/env bash
# Another program rewrites a new file in the middle of a commit. The update fails, the old release is back whole, the
# command ends, and the next update works.
. "$(dirname "$0")/../prelude.sh"

mkdir r1
for i in $(seq -w 400); do echo "old $i" >"r1/f$i"; done
cp -a r1 r2
for i in $(seq -w 400); do echo "new $i" >"r2/f$i"; done
begin r1
echo mine >a/mine
for i in 1 2 3 4 5; do cp -a a "a$i" && cp -a .a.upswap ".a$i.upswap"; done
publish 2.0 r2
spoil() {
    python3 - "$1" <<'P' &
import os, sys, time
path = sys.argv[1] + "/f001"
first = os.stat(path).st_ino
print("", end="", flush=True, file=open("watching", "w"))
end = time.time() + 40
while time.time() < end:
    try:
        if os.stat(path).st_ino != first:
            open(path, "w").write("spoilt")
            break
    except OSError:
        pass
P
    PIDS=$!
    until [ -e watching ]; do sleep 0.1; done
    rm watching
}
# The other program may come too late: then the commit was well, and it is tried with the next install.
for i in 1 2 3 4 5; do
    spoil a$i
    update a$i 2>e
    code=$?
    kill $PIDS 2>/dev/null
    [ $code != 124 ] || fail "the command does not end"
    grep -q Traceback e && fail "$(cat e)"
    [ $code = 0 ] || break
done
[ $code != 0 ] || skip "the other program was always too late"
at a$i 1.0
grep -L old a$i/f* | grep -vx "a$i/f001" | grep -q . && fail "the old release is not back: $(grep -L old a$i/f* | head -3)"
update a$i 2>e || fail "no way on: $(cat e)"
at a$i 2.0
