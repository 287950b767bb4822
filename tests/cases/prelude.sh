# Sourced by every case: a folder of its own, a publisher, a server and installs. A case exits 0 if its promise holds,
# says what does not with `fail`, and says with `skip` what it lacks here. It needs patchtool, patchserver and updater on PATH.
set -u
CASE=$(realpath "$0")
W=$(mktemp -d)
cd "$W" || exit 1
SRV=
PIDS=
export UPSWAP_KEY_PASSWORD=some-long-password

clean() { :; } # what a case takes back itself, before its folder goes
leave() {
    for pid in $SRV $PIDS; do kill "$pid" && kill -CONT "$pid"; done 2>/dev/null
    wait 2>/dev/null
    clean 2>/dev/null
    chmod -R u+rwx "$W" 2>/dev/null
    rm -rf "$W"
}
trap leave EXIT

fail() { echo "FAIL: $*"; exit 1; }
skip() { echo "SKIP: $*"; exit 0; }
needs() { for command in "$@"; do command -v "$command" >/dev/null || skip "needs $command"; done; }
needs_root() { [ "$(id -u)" = 0 ] || skip "needs root"; }
in_own_mounts() { # the case again, where its mounts end with it
    needs_root
    needs unshare
    [ -z "${IN_OWN_MOUNTS:-}" ] || return 0
    unshare -m true 2>/dev/null || skip "needs a mount namespace"
    IN_OWN_MOUNTS=1 unshare -m bash "$CASE"
    exit $?
}

# The publisher.
init() { patchtool init repo --app app --keys keys --quiet >/dev/null 2>&1 || fail init; }
add() { # VERSION FOLDER [OPTION...]
    local version=$1 folder=$2
    shift 2
    patchtool add-release repo --app app --version "$version" "$folder" --keys keys --quiet "$@" >/dev/null ||
        fail "add-release $version"
}
offer() { # VERSION; a server looks at its repository once a second
    patchtool promote repo --app app --version "$1" --keys keys --quiet >/dev/null || fail "promote $1"
    [ -z "$SRV" ] || sleep 1.2
}
publish() { # VERSION FOLDER [OPTION...]: add it and offer it
    add "$@"
    offer "$1"
}
recall() { patchtool recall repo --app app --version "$1" --keys keys --quiet >/dev/null || fail "recall $1"; }
serve() { # sets URL
    patchserver serve --repo repo --port 0 2>serve.log &
    SRV=$!
    for _ in $(seq 300); do
        URL=$(grep -oE 'http://127[0-9.]*:[0-9]+' serve.log 2>/dev/null | head -1)
        [ -z "$URL" ] || return 0
        sleep 0.1
    done
    fail serve
}

# The user's machine.
inst() { updater install --url "$URL" --root repo/metadata/1.root.json --app app --quiet "$1" >/dev/null || fail "install $1"; }
begin() { # FOLDER [OPTION...]: it is 1.0 of a new repository, which is served, and installed as `a`
    init
    publish 1.0 "$@"
    serve
    inst a
}
update() { timeout 60 updater update --dir "$1" --quiet --no-restart >/dev/null; }
version() { updater status --dir "$1" | sed -n 's/^version: //p'; }
at() { [ "$(version "$1")" = "$2" ] || fail "$1 is at $(version "$1"), not at $2"; }
user() { # uid 45678 without capabilities, but for reading: the interpreter may lie in /root
    timeout 60 setpriv --reuid 45678 --regid 45678 --clear-groups \
        --inh-caps +dac_read_search --ambient-caps +dac_read_search "$@"
}

# r1, r2, r3: an entry that prints the release, a file that stays, one that changes, one that goes.
releases() {
    mkdir -p r1/bin r1/lib r1/gone
    printf '#!/bin/sh\necho 1\n' >r1/bin/app
    chmod +x r1/bin/app
    echo same >r1/lib/same
    echo a >r1/conf
    echo g >r1/gone/g
    cp -a r1 r2
    rm -r r2/gone
    printf '#!/bin/sh\necho 2\n' >r2/bin/app
    echo b >r2/conf
    cp -a r2 r3
    printf '#!/bin/sh\necho 3\n' >r3/bin/app
    echo c >r3/conf
    echo 'entry = "bin/app"' >c.toml
}
tiny_releases() { # r1, r2: a file
    mkdir r1 r2
    echo 1 >r1/a
    echo 2 >r2/a
}
big_releases() { # r1, r2: a file that does not pack and grows a little; a patch is far smaller than a bundle
    mkdir r1
    head -c 300000 /dev/urandom >r1/big
    cp -a r1 r2
    printf 'x%.0s' $(seq 5000) >>r2/big
    head -c 700 /dev/urandom >>r2/big
}
started() { # FOLDER TEXT: the launcher starts what prints TEXT
    timeout 60 updater launch --dir "$1" >started.out 2>started.err
    grep -qx "$2" started.out || fail "$1 starts '$(cat started.out)', not $2: $(head -1 started.err)"
}
