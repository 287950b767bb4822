"""Faults of the publisher's side that were mended; see `put_back`."""

from __future__ import annotations

from tests.worlds.faults.fault import Edit, Fault

NO_SWEEP = Edit(
    "tools/patchtool/folder/temporary.py",
    '        for mark in parent.glob(f"{PREFIX}*{LOCK}"):',
    '        for mark in parent.glob("no-such-name"):',
)
PUBLISHER_FAULTS = (
    Fault(
        "I",
        "i-pages",
        "Of a page for a missing file a thousand more are asked for",
        (
            Edit(
                "tools/patchtool/server/mirror.py",
                """\
        refuse_page(url, data)
        if name.endswith(".root.json") and not is_metadata(data):
            raise page_for(url)
""",
                "",
            ),
        ),
        half="publisher",
    ),
    Fault(
        "I",
        "i-empty",
        "An empty folder is published without a word",
        (
            Edit(
                "tools/patchtool/release/add_release.py",
                "    if outline.is_empty and not allow_empty:",
                "    if False:",
            ),
        ),
        half="publisher",
    ),
    Fault(
        "I",
        "i-links",
        "The text of a symlink is tidied up",
        (
            Edit(
                "tools/patchtool/folder/scan.py",
                "        return Symlink(path, os.readlink(place))  # noqa: PTH115 - which would tidy it up",
                "        return Symlink(path, str(place.readlink()))",
            ),
        ),
        half="publisher",
    ),
    Fault(
        "I",
        "i-pipe",
        "A closed pipe or a full disk behind stdout ends a command with a traceback",
        (
            Edit(
                "updater/launch/standard_streams.py",
                """\
            except OSError as error:
                self.failure = error
        return len(data)""",
                """\
            except OSError as error:
                self.failure = error
                raise
        return len(data)""",
            ),
        ),
        half="publisher",
    ),
    Fault(
        "I",
        "i-terminal",
        "A name the terminal cannot show ends a command with a traceback",
        (
            Edit(
                "updater/launch/standard_streams.py",
                '        errors="backslashreplace",',
                '        errors="strict",',
            ),
        ),
        half="publisher",
    ),
    Fault(
        "K",
        "k-build",
        "A build holds the repository",
        (
            Edit(
                "tools/patchtool/release/add_release.py",
                "            build.run(lacking)\n    raise AssertionError",
                "                build.run(lacking)\n    raise AssertionError",
            ),
        ),
        half="publisher",
    ),
    Fault(
        "K",
        "k-recall",
        "A recall builds its patches while it holds the repository",
        (
            Edit(
                "tools/patchtool/release/recall.py",
                """\
            if not bundles:
                break
            built |= _patches(repository, look.releases, marked.version, bundles, builds, options)
""",
                """\
                if not bundles:
                    break
                built |= _patches(
                    repository, look.releases, marked.version, bundles, builds, options
                )
""",
            ),
        ),
        half="publisher",
    ),
    Fault(
        "K",
        "k-sync",
        "sync holds the repository while it copies",
        (
            Edit(
                "tools/patchtool/upkeep/sync.py",
                '        with machine_errors(f"copying to {copy.folder}"):\n            done =',
                '        with repository.held(), machine_errors(f"copying to {copy.folder}"):\n            done =',
            ),
        ),
        half="publisher",
    ),
    Fault(
        "L",
        "l-refresh",
        "refresh ends well while an app has expired",
        (
            Edit(
                "tools/patchtool/cli/repository_commands.py",
                "    return print_concerns(done.concerns(int(time.time())), idle=not done.signed)",
                "    return 0 if done.signed else 10",
            ),
        ),
        half="publisher",
    ),
    Fault(
        "L",
        "l-stuck",
        "doctor ends with 0 while every install is stuck",
        (
            Edit(
                "tools/patchtool/doctor/doctor.py",
                "        found += [Concern(Severity.NOW, words, OFFER) for words in self.stuck]\n",
                "",
            ),
        ),
        half="publisher",
    ),
    Fault(
        "L",
        "l-unread",
        "What doctor may not read ends its look",
        (
            Edit(
                "tools/patchtool/repository/stored_files.py",
                '    except OSError:\n        return "unread"',
                "    except OSError:\n        raise",
            ),
        ),
        half="publisher",
    ),
    Fault(
        "M",
        "m-clock",
        "A clock that is wrong signs",
        (
            Edit(
                "tools/patchtool/cli/opening.py",
                "        check_clock(int(time.time()), signed, options.clock)",
                "        pass",
            ),
        ),
        half="publisher",
    ),
    Fault(
        "M",
        "m-memory",
        "Clients that saw a signature ahead of time are refused for as long",
        (
            Edit(
                "tools/patchtool/repository/repository.py",
                "(max(self.now, self._latest) + LIFETIMES[kind_of(role)])",
                "(self.now + LIFETIMES[kind_of(role)])",
            ),
        ),
        half="publisher",
    ),
    Fault(
        "M",
        "m-ahead",
        "refresh leaves a signed time that has not come",
        (
            Edit(
                "tools/patchtool/release/refresh.py",
                's.is_below(at_least) or (ahead and s.key == "online")',
                "s.is_below(at_least) or (ahead and False)",
            ),
        ),
        half="publisher",
    ),
    Fault(
        "N",
        "n-failed",
        "What a failed command wrote stays on a full disk",
        (
            Edit(
                "tools/patchtool/repository/repository_folder.py",
                """\
                except BaseException:
                    self._take_back()
                    raise""",
                """\
                except BaseException:
                    raise""",
            ),
            Edit(
                "tools/patchtool/folder/temporary.py",
                "            shutil.rmtree(folder, ignore_errors=True)"
                "  # what stays, the next command removes",
                "            pass",
            ),
            NO_SWEEP,
        ),
        half="publisher",
    ),
    Fault(
        "N",
        "n-killed",
        "What a killed command wrote stays for good",
        (
            Edit(
                "tools/patchtool/repository/repository_folder.py",
                """\
                self._take_back()
                try:
                    yield""",
                """\
                try:
                    yield""",
            ),
            NO_SWEEP,
        ),
        half="publisher",
    ),
    Fault(
        "O",
        "o-keys",
        "Keys are published",
        (
            Edit(
                "tools/patchtool/release/add_release.py",
                "    refuse_secrets(folder, manifest, repository.keyring.folder)\n",
                "",
            ),
        ),
        half="publisher",
    ),
    Fault(
        "O",
        "o-repository",
        "The repository is published",
        (
            Edit(
                "tools/patchtool/release/add_release.py",
                "    refuse_place(folder, repository.folder)\n",
                "",
            ),
        ),
        half="publisher",
    ),
)
