#!/usr/bin/env bash
# The wrong folder: the keys themselves, a build folder that holds them, the repository. The command has these very files
# open and does not publish them.
. "$(dirname "$0")/../prelude.sh"

init
mkdir -p r/deploy
echo 1 >r/a
cp -p keys/release.pem keys/online.pem r/deploy/
refused() {
    patchtool add-release repo --app app --version "$1" "$2" --keys keys --quiet >o 2>&1 && fail "published $3"
    grep -q "$4" o || fail "refused for another reason: $(cat o)"
}
refused 1.0 keys "the folder of the keys" pem
refused 1.1 r "a folder with release.pem and online.pem" pem
refused 1.2 repo "the repository itself" repo
[ -z "$(find repo/targets -type f -name '*bundle*')" ] || fail "bundles are there: $(find repo/targets -type f)"
rm r/deploy/*.pem
add 1.3 r
