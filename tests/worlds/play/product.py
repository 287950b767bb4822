"""The commands under test: an environment that imports this tree, or a copy of it.

Everything else comes from the environment the tests run in. What `python3` finds there is the
product too, so an application of a world imports the same updater as the commands.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

PARTS = ("updater", "patchserver", "tools")
COMMANDS = {
    "updater": "updater.__main__",
    "patchtool": "patchtool.__main__",
    "patchserver": "patchserver.__main__",
}
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Product:
    """Commands in a folder."""

    bin: Path

    def environment(self, folder: Path) -> Mapping[str, str]:
        """The variables of a world in ``folder``: none of this machine's user."""
        return {
            "PATH": f"{self.bin}{os.pathsep}{SYSTEM}",
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "OLDPWD": str(folder),
        }


def make_product(folder: Path, tree: Path = ROOT) -> Product:
    """An environment in ``folder`` whose commands are those of the sources in ``tree``."""
    site = folder / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    site.mkdir(parents=True)
    paths = [tree, tree / "tools", sysconfig.get_path("purelib")]
    (site / "product.pth").write_text("".join(f"{path}\n" for path in paths))
    home = Path(sys.base_prefix) / "bin"
    (folder / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    programs = folder / "bin"
    programs.mkdir()
    for name in ("python", "python3"):
        (programs / name).symlink_to(Path(sys.executable).resolve())
    for name, module in COMMANDS.items():
        _write_command(programs / name, programs / "python3", module)
    return Product(programs)


def copy_tree(folder: Path) -> Path:
    """A copy of the product's sources, to put a fault into."""
    folder.mkdir(parents=True)
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part)
    return folder


def _write_command(place: Path, python: Path, module: str) -> None:
    lines = [f"#!{python}", "import sys", f"from {module} import main", "sys.exit(main())"]
    place.write_text("\n".join(lines) + "\n")
    place.chmod(0o755)
