"""Worlds: random releases, starts, hosts and users around the real commands, on real disks.

A *world* is data: a ground (what is published before it begins) and a list of steps, drawn from a
seed. Each step is shell text in the form of the case scripts of this project, and bash runs exactly
this text in a folder of the world's own. So a world that breaks a promise prints as a script by
construction: prelude, ground, steps, and the check that failed; it is made smaller first, by
leaving out steps and lines of the ground as long as the same promise breaks.

The promises, by the number that every ``fail`` begins with:

1. every command ends, without a traceback, with an exit code of ours; no process of ours is left;
2. the application starts, as one whole release, through its launcher and, outside a commit,
   directly;
3. a newer good release can be installed from here with at most two ordinary commands;
4. nothing of the user's is lost, widened or rewritten;
5. a version is bad only if the script made it fail;
6. whenever a client would be refused or left without an offer, ``doctor`` says so with its exit
   code, and an urgent command of the publisher works at once.

| folder | holds |
|---|---|
| here | `world`: steps, worlds, what broke, as data; `halves`: the kinds of worlds; the test |
| `client` | worlds of an install: what people, machines and updates do to it, and its releases |
| `publisher` | worlds of a publisher: commands, wrong folders, hosts, mishaps |
| `programs` | what worlds run: the oracles `look` and `judge`, a bad host, an application |
| `play` | plays a world: the commands under test, grounds, one bash, the verdict, a script of it |
| `search` | draws worlds for as long as told, makes one smaller, tells what was drawn |
| `faults` | puts mended faults back, and searches until they are found |

`make test-worlds WORLDS_SECONDS=600 WORLDS_SEED=1` runs it.
"""
