#!/usr/bin/env bash
# In a locale whose encoding lacks a file's name an update is refused before anything live changes, or undone; the
# application starts. Not: half a commit and a launcher that ends with a traceback.
. "$(dirname "$0")/../prelude.sh"

needs localedef
mkdir locales
localedef -i en_US -f ISO-8859-1 locales/en_US.ISO-8859-1 >/dev/null 2>&1
latin() { env LOCPATH="$W/locales" LC_ALL=en_US.ISO-8859-1 "$@"; }
latin python3 -c 'import sys; sys.exit("8859" not in sys.getfilesystemencoding())' || skip "no locale en_US.ISO-8859-1"
echo 'entry = "run"' >release.toml
mkdir r1
printf '#!/bin/sh\necho old\n' >r1/run
chmod +x r1/run
echo 1 >r1/x
cp -a r1 r2
echo L >r2/lib
echo 2 >r2/x
echo n >r2/файл
printf '#!/bin/sh\necho new $(cat "$(dirname $0)/lib")\n' >r2/run
begin r1 --config release.toml
echo mine >a/mine
publish 2.0 r2 --config release.toml
latin timeout 60 updater update --dir a --quiet --no-restart >/dev/null 2>e
grep -q Traceback e && fail "update: traceback"
latin timeout 60 updater launch --dir a >out 2>e
grep -qE '^(old|new L)$' out || fail "the application does not start: $(tail -1 e)"
LC_ALL=C.UTF-8 timeout 60 updater update --dir a --quiet --no-restart >/dev/null 2>e
code=$?
[ $code = 0 ] || [ $code = 10 ] || fail "no way on in another locale: $(head -1 e)"
LC_ALL=C.UTF-8 started a 'new L'
