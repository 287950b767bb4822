#!/usr/bin/env bash
# All installs are stuck (their version is recalled and nothing is offered) and new installs get nothing: `doctor` as a
# monitoring check must not end with 0 ("all is well").
. "$(dirname "$0")/../prelude.sh"

init
tiny_releases
publish 1.0 r1
publish 1.1 r2
patchtool doctor repo >/dev/null 2>&1 || fail "doctor before"
recall 1.1
recall 1.0
serve
updater install --url "$URL" --root repo/metadata/1.root.json --app app --quiet X >i 2>&1 && fail "installed?"
patchtool doctor repo >o 2>&1
code=$?
grep -q "new install: stuck" o || fail "doctor does not tell: $(cat o)"
[ $code != 0 ] || fail "doctor ends with 0 though: $(grep stuck o | tr '\n' ';')"
