"""Faults of the client and its kernel that were mended; see `put_back`."""

from __future__ import annotations

from tests.worlds.faults.fault import Edit, Fault

CLIENT_FAULTS = (
    Fault(
        "A",
        "a-swap-1",
        "A command never ends",
        (
            Edit(
                "updater/errors.py",
                "    while following is not None and following not in seen and len(seen) < CAUSES_MOST:",
                "    while following is not None:",
            ),
            Edit(
                "updater/launch/commit/recover.py",
                """\
        if isinstance(error, InstallError):
            error.rolled_back = True
        elif isinstance(error, Exception):
            raise _undone_error(error) from error
        raise""",
                """\
        if isinstance(error, InstallError):
            error.rolled_back = True
            raise error from error
        if isinstance(error, Exception):
            raise _undone_error(error) from error
        raise""",
            ),
        ),
    ),
    Fault(
        "B",
        "b-swap-1",
        "Own changes read as foreign",
        (
            Edit(
                "updater/launch/commit/file_swap_back.py",
                "        return next((link for link in links if not self._is_ours(link)), None)",
                "        return next(links, None)",
            ),
        ),
    ),
    Fault(
        "B",
        "b-swap-2",
        "A commit that can be ended neither way",
        (
            Edit(
                "updater/client.py",
                """\
            except RollbackFailed:
                self._session.refresh(self._state, read_settings(self._state), self._session.now())""",
                """\
            except RollbackFailed:
                raise
                self._session.refresh(self._state, read_settings(self._state), self._session.now())""",
            ),
        ),
    ),
    Fault(
        "B",
        "b-swap-3",
        "A symlink in the place of a folder",
        (
            Edit(
                "updater/update/repair.py",
                "over_links=True",
                "over_links=False",
            ),
        ),
    ),
    Fault(
        "C",
        "c-net-1",
        "A last resort that depends on what just failed",
        (
            Edit(
                "updater/check/route_after_failure.py",
                """\
                self.exclude(error)
                route = self._route()""",
                """\
                self.failed.append(error.reason)
                if route.starts_afresh or len(self.failed) > 1:
                    raise self._all() from error.reason
                route = find_route(self._catalogue, None, self._version)""",
            ),
        ),
    ),
    Fault(
        "C",
        "c-net-2",
        "Repair and adopt know one bundle only",
        (
            Edit(
                "updater/update/repair.py",
                """\
        except (Unusable, PatchError) as error:
            failed = error if isinstance(error, Unusable) else Unusable(frozenset(), error)""",
                """\
        except (Unusable, PatchError) as error:
            failed = error if isinstance(error, Unusable) else Unusable(frozenset(), error)
            raise failed.reason from error""",
            ),
        ),
    ),
    Fault(
        "D",
        "d-starts-1",
        '"Not judged" counted as "failed"',
        (
            Edit(
                "updater/launch/start/trial.py",
                "    return _note(state, replace(ended, failed=trial.failed + 1, why=why) if why else ended)",
                """\
    return _note(state, replace(ended, failed=trial.failed + 1, why=why or "not confirmed"))""",
            ),
        ),
    ),
    Fault(
        "D",
        "d-starts-2",
        "The answer of an application to a stop taken for a crash",
        (
            Edit(
                "updater/launch/start/watch.py",
                "        if code == 0 or self._asked_to_end or self._is_settled() or _is_ended_by_others(code):",
                "        if code == 0 or self._is_settled():",
            ),
        ),
    ),
    Fault(
        "D",
        "d-starts-3",
        "A start that was cut off (SIGKILL of all, power) counted like a failure",
        (
            Edit(
                "updater/launch/start/trial.py",
                "CUT_OFF_MOST = 5",
                "CUT_OFF_MOST = 1",
            ),
        ),
    ),
    Fault(
        "E",
        "e-starts-1",
        "An update that restarts for ever",
        (
            Edit(
                "updater/update/job.py",
                "        if announced_version(self._state) == version:",
                "        if not announced_version(self._state) and not version:",
            ),
            Edit(
                "updater/launch/start/run_lock.py",
                """\
    if not pending:
        if held is not None:""",
                """\
    if pending is not None:
        if held is not None:""",
            ),
        ),
    ),
    Fault(
        "E",
        "e-starts-2",
        "What waits for a start told as done twice",
        (
            Edit(
                "updater/update/job.py",
                "        if announced_version(self._state) == version:",
                "        if not announced_version(self._state) and not version:",
            ),
        ),
    ),
    Fault(
        "F",
        "f-starts-1",
        "An update refused for ever after one that nobody confirmed",
        (
            Edit(
                "updater/client.py",
                """\
            received = self._session.transport.received
            with report_failure(self._session, self._state, manifest):
                catalogue, route""",
                """\
            received = self._session.transport.received
            if self._unconfirmed():
                raise InstallError(f"{manifest.version} is not confirmed yet")
            with report_failure(self._session, self._state, manifest):
                catalogue, route""",
            ),
        ),
    ),
    Fault(
        "F",
        "f-starts-2",
        "confirm() deaf around the launcher",
        (
            Edit(
                "updater/application.py",
                "        return _confirm_own()",
                "        return Confirmation.NOT_INSTALLED",
            ),
        ),
    ),
    Fault(
        "F",
        "f-starts-3",
        "A start script whose Python is gone",
        (
            Edit(
                "updater/local/launcher_files.py",
                """\
if [ -f "$python" ] && [ -x "$python" ]; then exec "$python" -I "$folder/launcher.pyz" "$@"; fi""",
                """\
[ -x "$python" ] || python=$(command -v python3)
exec "$python" -I "$folder/launcher.pyz" "$@\"""",
            ),
        ),
    ),
    Fault(
        "F",
        "f-starts-4",
        "A trial that outlives its version",
        (
            Edit(
                "updater/update/job.py",
                "            notes[self._state.trial] = NO_TRIAL",
                "            pass",
            ),
        ),
    ),
    Fault(
        "G",
        "g-starts-1",
        "restart() with another environment than the first start",
        (
            Edit(
                "updater/launch/start/environment.py",
                "        kept = {name: value for name, value in kept.items() if name not in LEADING} | first",
                "        kept = {name: value for name, value in kept.items() if name not in LEADING}",
            ),
        ),
    ),
    Fault(
        "G",
        "g-swap-2",
        "A locale whose encoding lacks a name",
        (
            Edit(
                "updater/launch/file_name_encoding.py",
                """\
    if WINDOWS or sys.getfilesystemencoding() == "utf-8" or getattr(sys, "frozen", False):""",
                "    if sys.executable:",
            ),
            Edit(
                "updater/launch/commit/obstacles.py",
                """\
        for path in paths:
            os.fsencode(path)""",
                """\
        for path in ():
            os.fsencode(path)""",
            ),
            Edit(
                "updater/launch/commit/recover.py",
                "    except (Exception, KeyboardInterrupt, SystemExit) as error:  # whatever it is: not half of it",
                "    except (OSError, InstallError, KeyboardInterrupt) as error:",
            ),
        ),
    ),
    Fault(
        "H",
        "h-owners-1",
        "A replaced file loses its mode, owner, group, attributes",
        (
            Edit(
                "updater/launch/commit/file_swap.py",
                """\
            if not is_link(incoming):
                self._admit(step, incoming)""",
                """\
            if step.own and not is_link(incoming):
                self._admit(step, incoming)""",
            ),
        ),
    ),
    Fault(
        "H",
        "h-owners-2",
        "A new folder is wider than the folder it is in",
        (
            Edit(
                "updater/launch/commit/file_swap.py",
                "            self._disk.fit(path, executable=True)",
                "            pass",
            ),
        ),
    ),
    Fault(
        "H",
        "h-owners-4",
        "A mode that only the group may be given by: group not kept widens to another group",
        (
            Edit(
                "updater/disk/permissions.py",
                "            mode = _without_group(mode)",
                "            pass",
            ),
        ),
    ),
    Fault(
        "I",
        "i-net-1",
        "A host that answers with a page for what it does not have",
        (
            Edit(
                "updater/check/trust.py",
                "                if _NEXT_ROOT.search(url):",
                "                if False and _NEXT_ROOT.search(url):",
            ),
        ),
    ),
    Fault(
        "I",
        "i-net-2",
        "A stale edge told as an attack",
        (
            Edit(
                "updater/check/trust.py",
                """\
                if not self._is_behind(now):
                    raise""",
                """\
                if failed:
                    raise""",
            ),
        ),
    ),
    Fault(
        "I",
        "i-net-3",
        "A password of the repository's URL in every message, and in a file for all",
        (
            Edit(
                "updater/net/address.py",
                """\
        return cls(url, login if "@" in parts.netloc else None, parts.query)""",
                """\
        _ = login
        return cls(text.rstrip("/"), None, "")""",
            ),
        ),
    ),
    Fault(
        "I",
        "i-net-4",
        "A proxy's password and kind",
        (
            Edit(
                "updater/net/http.py",
                """\
    return without_secrets(named or "")""",
                """\
    return named or "\"""",
            ),
        ),
    ),
    Fault(
        "I",
        "i-net-5",
        "Cloned machines share one place in rollouts",
        (
            Edit(
                "updater/local/identity.py",
                """\
            here = self._of(known.name)
            if known.machine""",
                """\
            here = self._of(known.name)
            return here
            if known.machine""",
            ),
        ),
    ),
    Fault(
        "J",
        "j-swap-1",
        "An error while looking is taken for an answer",
        (
            Edit(
                "updater/disk/content.py",
                """\
        return _digest(path)
    return FOLDER""",
                """\
        try:
            return _digest(path)
        except OSError:
            return OTHER
    return FOLDER""",
            ),
        ),
    ),
    Fault(
        "P",
        "p-net-1",
        "A promise lost by jumping over it",
        (
            Edit(
                "updater/check/route.py",
                "    return any(release.required for release in _passed(catalogue, installed, version))",
                "    return bool(installed) and catalogue.releases[version].required",
            ),
        ),
    ),
    Fault(
        "Q",
        "q-swap-1",
        "The program put in place before what it needs",
        (
            Edit(
                "updater/stage/plan_files.py",
                "        puts = sorted(self._staged.keys() - {*self._starts})",
                "        puts = sorted(self._staged.keys())",
            ),
        ),
    ),
    Fault(
        "R",
        "r-owners-1",
        "A removed 0700 folder comes back 0755 on rollback",
        (
            Edit(
                "updater/launch/commit/file_swap.py",
                "        self._disk.imitate(parked, folder)",
                "        self._disk.mkdir(parked)",
            ),
        ),
    ),
    Fault(
        "R",
        "r-owners-2",
        "old/ is open to everybody",
        (
            Edit(
                "updater/launch/commit/recover.py",
                "    state.disk.mkdir(state.old, private=True)",
                "    state.disk.mkdir(state.old)",
            ),
        ),
    ),
    Fault(
        "R",
        "r-owners-3",
        "State wider than a private install",
        (
            Edit(
                "updater/update/new_state.py",
                "        permit(state.folder, state.folder.stat().st_mode & 0o755)",
                "        permit(state.folder, 0o755)",
            ),
        ),
    ),
    Fault(
        "R",
        "r-owners-4",
        "sudo once: State and new files belong to root",
        (
            Edit(
                "updater/disk/permissions.py",
                """\
    if WINDOWS or os.geteuid() != ROOT:
        return
    with suppress(OSError):""",
                """\
    if WINDOWS or os.geteuid() == ROOT:
        return
    with suppress(OSError):""",
            ),
        ),
    ),
    Fault(
        "R",
        "r-owners-6",
        "Root's State beside a user's install is refused",
        (
            Edit(
                "updater/launch/state.py",
                "        info.st_uid in {ours.st_uid, ROOT, os.geteuid()} and not _is_wider(info, ours)",
                "        info.st_uid == ours.st_uid and not _is_wider(info, ours)",
            ),
        ),
    ),
    Fault(
        "R",
        "r-owners-7",
        "check refuses to who may only read",
        (
            Edit(
                "updater/local/session.py",
                """\
    if os.access(state.folder, os.W_OK):
        yield state
        return""",
                """\
    if state.folder.is_dir():
        yield state
        return""",
            ),
        ),
    ),
    Fault(
        "R",
        "r-owners-9",
        "A folder restored from a backup beside a newer State is called clean",
        (
            Edit(
                "updater/stage/released_files.py",
                "    return commit_time(state.manifest) if _has_its_folders(state, manifest) else 0",
                "    return commit_time(state.manifest)",
            ),
        ),
    ),
    Fault(
        "R",
        "r-owners-10",
        "Files of an earlier release are taken for the user's own",
        (
            Edit(
                "updater/stage/plan_files.py",
                "        return path not in self._ours and (path in self._changed or not known)",
                "        return path in self._changed or not known",
            ),
        ),
    ),
    Fault(
        "R",
        "r-owners-11",
        "status says clean of an exchanged folder",
        (
            Edit(
                "updater/client.py",
                """\
            if condition == "clean" and is_exchanged(self._state, manifest):""",
                """\
            if condition == "" and is_exchanged(self._state, manifest):""",
            ),
        ),
    ),
    Fault(
        "R",
        "r-starts-1",
        "What was staged by the owner, and no word to the user who starts it",
        (
            Edit(
                "updater/launch/start/launcher.py",
                """\
            self._print_what_waits()
            return None  # somebody else's install: its owner's starts decide""",
                "            return None  # somebody else's install: its owner's starts decide",
            ),
        ),
    ),
    Fault(
        "R",
        "r-swap-1",
        "One file of a failed version that cannot be deleted",
        (
            Edit(
                "updater/launch/commit/trash.py",
                """\
        except OSError:
            self.remember(path, content)""",
                """\
        except ZeroDivisionError:
            self.remember(path, content)""",
            ),
        ),
    ),
    Fault(
        "R",
        "r-swap-2",
        "What of `old/` cannot be deleted blocks the next update",
        (
            Edit(
                "updater/launch/commit/trash.py",
                """\
    except OSError:
        if present(folder):
            state.disk.mkdir(state.trash, private=True)""",
                """\
    except ZeroDivisionError:
        if present(folder):
            state.disk.mkdir(state.trash, private=True)""",
            ),
        ),
    ),
    Fault(
        "R",
        "r-swap-3",
        "Mounts, immutable files",
        (
            Edit(
                "updater/launch/commit/obstacles.py",
                "    places = {install / path for path in paths}",
                "    places: set[Path] = set()",
            ),
        ),
    ),
)
