"""Steps that change what the host gives to clients, or who fills it."""

from __future__ import annotations

from tests.worlds.publisher.model import READY, Draw, Kind, Model
from tests.worlds.world import Step


def host_copy(draw: Draw, _model: Model) -> Step:
    """A host filled by any tool that copies, and stopped on the way."""
    percent, order = draw.pick((100, 100, 90, 60, 30)), draw.number(0, 99)
    text = f"copied half {percent} {order}\nshown half"
    return Step("copied host", text, "judge half --url\nshown repo")


def host_sync(draw: Draw, _model: Model) -> Step:
    """A host filled by `sync`, which may be killed: clients see one state or another."""
    kill = draw.pick(("0.3", "0.4", "0.5", "0.7", ""))
    text = "patchtool sync repo host --quiet >out 2>err"
    if kill:
        text = f"{text} &\nBUILD=$!\nsleep {kill}\nkill_build"
    text += "\nif [ -e host/metadata/timestamp.json ]; then shown host; fi"
    return Step("sync", text, "judge host --url\nshown repo")


def host_pages(_draw: Draw, _model: Model) -> Step:
    """A host that answers with a page for what is missing."""
    return Step("pages for files", "touch pages", "judge repo --url\nrm pages")


def host_loses(draw: Draw, _model: Model) -> Step:
    """A file that clients may need is gone from the host, or it is another one."""
    number = draw.number(0, 99)
    how, url = draw.pick(
        (
            ('rm "$FILE"', ""),
            ('rm "$FILE"', "--url"),
            (': > "$FILE"', ""),
            (': > "$FILE"', "--url"),
            # of a host doctor asks for the length alone
            ('head -c 500 /dev/urandom > "$FILE"', ""),
        )
    )
    text = f"copied half 100 0\nany_file {number} half\n{how}\nshown half"
    return Step("host loses a file", text, f"judge half {url}\nshown repo")


def second_machine(draw: Draw, _model: Model) -> Step:
    """Another machine fetches a copy, works on it, and both fill one host with `sync`."""
    here = draw.pick((f"app promote --version {READY}", "app recall --version 1.1", ":"))
    there = draw.pick(("app pause --version 1.1", f"app promote --version {READY}", ":"))
    first, second = draw.pick((("repo", "copy"), ("copy", "repo")))
    text = f"""rm -rf copy
timed patchtool fetch "http://127.0.0.1:$(cat port)" copy --root 1.root.json --quiet
if [ $R = 0 ]; then
  {here}
  REPO=copy; {there}; REPO=repo
  timed patchtool sync {first} host --quiet
  if well; then shown host; judge host --url; fi
  timed patchtool sync {second} host --quiet
fi
if [ -e host/metadata/timestamp.json ]; then shown host; fi"""
    return Step("second machine", text, "judge host --url\nshown repo")


KINDS: tuple[Kind, ...] = (host_copy, host_sync, host_pages, host_loses, second_machine)
