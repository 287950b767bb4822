"""The ``updater`` command, also as ``python -m updater``."""

import sys

from updater.launch.standard_streams import run_command


def main() -> int:
    """Run the command line of this process; the exit code."""
    return run_command(_run)


def _run() -> int:
    from updater.cli.commands import main as run  # noqa: PLC0415 - after the streams are safe

    return run()


if __name__ == "__main__":
    sys.exit(main())
