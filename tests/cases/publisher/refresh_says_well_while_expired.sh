#!/usr/bin/env bash
# A cron job holds the online key alone and goes by the exit code of `refresh` (0: signed; 10: nothing was; anything
# else: look). The app's releases have expired, every client is refused: refresh says neither 0 nor 10.
. "$(dirname "$0")/../prelude.sh"

needs faketime
init
mkdir r cron
echo 1 >r/a
publish 1.0 r
cp keys/online.pem cron
serve
inst A
faketime "+370 days" patchtool refresh repo --keys cron >o 2>&1
first=$?
faketime "+370 days" patchtool refresh repo --keys cron >o2 2>&1
second=$?
sleep 1.2
faketime "+370 days" updater check --dir A >c 2>&1
code=$?
[ $code = 4 ] || fail "expected clients to be refused here, got $code: $(cat c)"
for code in $first $second; do
    [ $code != 0 ] && [ $code != 10 ] || fail "refresh ended with $first and $second while clients are refused"
done
exit 0
