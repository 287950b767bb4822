"""Steps that publish the wrong folder, or one with something unusual in it."""

from __future__ import annotations

import shlex

from tests.worlds.publisher.model import Draw, Kind, Model, when_well
from tests.worlds.world import Step

FORBIDDEN = (
    ("the folder of the keys", "d=keys"),
    ("the repository", "d=repo"),
    ("all of it", "d=."),
    ("what the host gives", "d=repo/targets"),
    ("a folder with a key", "mkdir -p $d/deploy; cp -p keys/release.pem $d/deploy/"),
    ("a folder with a key under another name", "cp keys/online.pem $d/notes.txt"),
    ("a folder with the repository", "cp -a repo $d/www"),
)
ODD = (
    "ln -s version $d/link",
    "ln -s ./version $d/link",
    "ln -s data/../version $d/link",
    "ln -s data//numbers $d/link",
    "ln -s data/ $d/link",
    "ln -s ../{v}/version $d/link",
    "ln -s /etc/hostname $d/link",
    "ln -s .. $d/data/link",
    "ln -s missing $d/link",
    "ln -s 'a\\b' $d/link",
    "ln -s link $d/link",
    "ln -s $'\\xff' $d/link",
    "echo x > $d/$'a\\nb'",
    "echo x > $d/$'\\xff'",
    "echo x > $d/$'e\\xcc\\x81'",
    "echo x > $d/con",
    'echo x > "$d/x."',
    'echo x > "$d/x "',
    "echo x > $d/A; echo y > $d/a",
    "echo x > $d/a:b",
    "echo x > $d/-n",
    "echo x > $d/x.new; echo y > $d/x.old",
    "echo x > $d/$(printf 'n%.0s' $(seq 255))",
    "mkdir -p $d/empty/empty",
    "mkfifo $d/pipe",
    ": > $d/nothing",
    "truncate -s 3000000 $d/sparse",
    "chmod 600 $d/log; chmod 4755 $d/version",
    "ln $d/version $d/same",
    "rm -rf $d/data $d/log",
)
UNMEANT = (
    (
        "the history of a source",
        "mkdir $d/.git; echo 'ref: x' > $d/.git/HEAD",
        "grep -qi warning err",
    ),
    ("a file of passwords", "echo SECRET=1 > $d/.env", "grep -qi warning err"),
    ("an empty folder", "rm -rf $d/*", "false"),
    ("a folder of empty folders", "rm -rf $d/*; mkdir -p $d/a/b", "false"),
)
"""What is meant rarely, and how it is told."""
SPELLINGS = (
    *("{n}.0", "v{n}", "{n} ", "0{n}", "{n}-rc1", "{n}rc1", "{n}.post1", "{n}+x", "{n}.0.0"),
    *("\N{FULLWIDTH DIGIT ONE}.{m}", "{n}_1", "1.1.0", ""),
)
CONFIGS = (
    "printf 'required = true\\r\\n'",
    "printf '\\xef\\xbb\\xbfrequired = true\\n'",
    "printf 'entry = \"version\"\\n# \\xe9\\n'",
    "printf 'entry = \"missing\"\\n'",
    "printf 'entry = \"../x\"\\n'",
    "printf 'requird = true\\n'",
    "printf 'required = true\\n' | iconv -t UTF-16",
)


def wrong_folder(draw: Draw, model: Model) -> Step:
    """A folder that must never be published: it holds keys, or the repository."""
    what, how = draw.pick(FORBIDDEN)
    version = model.fresh()
    text = f"""release {version} 1.1; d=rel/{version}
{how}
app add-release --version {version} $d
[ $R != 0 ] || fail "6 key: {what} is published without a word\""""
    return Step("wrong folder", text, "judge repo")


def unmeant_folder(draw: Draw, model: Model) -> Step:
    """A folder that is hardly what was meant: something is said."""
    what, how, told = draw.pick(UNMEANT)
    version = model.fresh()
    text = f"""release {version} 1.1; d=rel/{version}
{how}
app add-release --version {version} $d
[ $R != 0 ] || {told} || fail "6 folder: {what} is published without a word\""""
    return Step("unmeant folder", text, "judge repo")


def odd_folder(draw: Draw, model: Model) -> Step:
    """A folder with something unusual in it: carried exactly, or refused."""
    version = model.fresh()
    how = draw.pick(ODD).replace("{v}", version)
    text = f"""release {version} 1.1; d=rel/{version}
{how}
app add-release --version {version} $d
[ $R != 0 ] || app promote --version {version}"""
    model.versions.append(version)
    return Step("odd folder", text, when_well(f"--offered {version}"))


def odd_version(draw: Draw, model: Model) -> Step:
    """A version in another spelling: it is this very version from then on, or refused."""
    number = model.fresh()
    word = shlex.quote(draw.pick(SPELLINGS).format(n=number, m=model.number))
    text = f"""release {number} 1.1; mv rel/{number} rel/{word} 2>/dev/null
echo {word} > rel/{word}/version
app add-release --version {word} rel/{word}
if [ $R = 0 ]; then
  app promote --version {word}; [ $R = 0 ] || fail "6 spelling: not promoted: $(cat err)"
fi"""
    return Step("odd version", text, "judge repo")


def odd_config(draw: Draw, model: Model) -> Step:
    """A `release.toml` in another encoding, or with a slip in it."""
    version, how = model.fresh(), draw.pick(CONFIGS)
    text = f"""release {version} 1.1
{how} > config
app add-release --version {version} rel/{version} --config config
[ $R != 0 ] || app promote --version {version}"""
    return Step("odd config", text, when_well(f"--offered {version}"))


KINDS: tuple[Kind, ...] = (
    *(wrong_folder, wrong_folder, unmeant_folder, odd_folder, odd_folder, odd_version, odd_config),
)
