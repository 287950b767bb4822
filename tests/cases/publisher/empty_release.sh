#!/usr/bin/env bash
# The build failed and left an empty folder: add-release does not publish that without being told to.
. "$(dirname "$0")/../prelude.sh"

init
mkdir r e
for i in 1 2 3; do echo $i >r/f$i; done
publish 1.0 r
patchtool add-release repo --app app --version 1.1 e --keys keys --quiet >/dev/null 2>o &&
    fail "an empty release is published without a word"
grep -qi empty o || fail "refused for another reason: $(cat o)"
patchtool promote repo --app app --version 1.1 --keys keys --quiet >/dev/null 2>&1 && fail "it is there all the same"
exit 0
