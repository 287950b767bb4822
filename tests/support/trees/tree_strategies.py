"""Random release trees, and trees that random edits make of them."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from tests.support.trees.trees import Content, Exe, Link, Tree, noise
from updater.format.manifest import Directory, Entry, File, Manifest, Symlink
from updater.format.names import Digest
from updater.format.paths import parents

Draft = dict[str, Content]

# Few names and few contents, so that edits meet: same base names, same bytes, taken paths.
names = st.sampled_from(["a", "b", "c", "lib", "x.py", "__init__.py", "größe.txt", "日本"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
blobs = st.one_of(
    st.just(b""),
    st.sampled_from([b"one", b"two", b"line\n" * 100, noise(700, 1), noise(700, 2)]),
    st.binary(max_size=60),
)


@st.composite
def contents(draw: st.DrawFn) -> Content:
    """A file, often; an executable, a symlink or an empty folder, now and then."""
    kind = draw(st.sampled_from("ffffesd"))
    if kind == "d":
        return None
    if kind == "s":
        return Link("../" * draw(st.integers(0, 3)) + draw(paths))
    data = draw(blobs)
    return Exe(data) if kind == "e" else data


def settled(draft: Draft) -> Tree:
    """The nearest tree a release can hold: nothing below a file, no link that leaves."""
    tree: Draft = {}
    folders = {folder for path in draft for folder in parents(path)}
    for path, content in sorted(draft.items()):
        if any(folder in tree for folder in parents(path)):
            continue
        if content is None and path in folders:
            continue
        tree[path] = _inside(path, content) if isinstance(content, Link) else content
    return tree


def _inside(path: str, link: Link) -> Link:
    ups = min(link.target.count("../"), path.count("/"))
    return Link("../" * ups + link.target.replace("../", ""))


trees = st.dictionaries(paths, contents(), max_size=10).map(settled)


@st.composite
def edited(draw: st.DrawFn, tree: Tree) -> Tree:
    """What up to five edits, one after the other, make of ``tree``."""
    draft = dict(tree)
    for edit in draw(st.lists(st.sampled_from(EDITS), max_size=5)):
        if draft:
            edit(draw, draft)
        draft = dict(settled(draft))
    return draft


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tree, Tree]:
    """An old tree and a new one: its successor, its predecessor, or one of another kind."""
    old = draw(trees)
    new = draw(edited(old) | edited(old) | trees)
    return (old, new) if draw(st.booleans()) else (new, old)


def _some(draw: st.DrawFn, draft: Draft) -> str:
    return draw(st.sampled_from(sorted(draft)))


def _folder(draw: st.DrawFn, draft: Draft) -> str | None:
    folders = sorted({folder for path in draft for folder in parents(path)})
    return draw(st.sampled_from(folders)) if folders else None


def edit_bytes(draw: st.DrawFn, draft: Draft) -> None:
    path = _some(draw, draft)
    content = draft[path]
    if isinstance(content, bytes | Exe):
        data = content if isinstance(content, bytes) else content.data
        at, until = sorted([draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))])
        data = data[:at] + draw(st.binary(max_size=20)) + data[until:]
        draft[path] = Exe(data) if isinstance(content, Exe) else data


def replace(draw: st.DrawFn, draft: Draft) -> None:
    draft[_some(draw, draft)] = draw(contents())


def add(draw: st.DrawFn, draft: Draft) -> None:
    draft[draw(paths)] = draw(contents())


def delete(draw: st.DrawFn, draft: Draft) -> None:
    del draft[_some(draw, draft)]


def rename(draw: st.DrawFn, draft: Draft) -> None:
    content = draft.pop(_some(draw, draft))
    draft[draw(paths)] = content


def rotate(draw: st.DrawFn, draft: Draft) -> None:
    """Swap two names, or hand three round."""
    chosen = draw(st.lists(st.sampled_from(sorted(draft)), min_size=1, max_size=3, unique=True))
    values = [draft[path] for path in chosen]
    draft.update(zip(chosen, [*values[1:], values[0]], strict=True))


def duplicate(draw: st.DrawFn, draft: Draft) -> None:
    draft[draw(paths)] = draft[_some(draw, draft)]


def flip_mode(draw: st.DrawFn, draft: Draft) -> None:
    path = _some(draw, draft)
    content = draft[path]
    if isinstance(content, Exe):
        draft[path] = content.data
    elif isinstance(content, bytes):
        draft[path] = Exe(content)


def retarget(draw: st.DrawFn, draft: Draft) -> None:
    links = [path for path, content in draft.items() if isinstance(content, Link)]
    if links:
        draft[draw(st.sampled_from(sorted(links)))] = Link(draw(paths))


def move_folder(draw: st.DrawFn, draft: Draft) -> None:
    """Also into another folder that exists, below itself, and above itself."""
    folder, to = _folder(draw, draft), draw(paths)
    if folder is not None:
        inside = [path for path in draft if path.startswith(f"{folder}/")]
        taken = {to + path[len(folder) :]: draft.pop(path) for path in inside}
        draft.update(taken)


def file_to_folder(draw: st.DrawFn, draft: Draft) -> None:
    path = _some(draw, draft)
    content = draft.pop(path)
    draft[f"{path}/{draw(names)}"] = content


def folder_to_file(draw: st.DrawFn, draft: Draft) -> None:
    folder = _folder(draw, draft)
    if folder is not None:
        inside = [path for path in draft if path.startswith(f"{folder}/")]
        first, *_ = [draft.pop(path) for path in inside]
        draft[folder] = first


EDITS: list[Callable[[st.DrawFn, Draft], None]] = [
    edit_bytes,
    replace,
    add,
    delete,
    rename,
    rotate,
    duplicate,
    flip_mode,
    retarget,
    move_folder,
    file_to_folder,
    folder_to_file,
]


def manifest_of(tree: Tree, version: str = "1") -> Manifest:
    """The manifest of a tree, without a disk."""
    return Manifest.of("app", version, [_entry(path, tree[path]) for path in tree])


def _entry(path: str, content: Content) -> Entry:
    if content is None:
        return Directory(path)
    if isinstance(content, Link):
        return Symlink(path, content.target)
    data = content.data if isinstance(content, Exe) else content
    return File(path, len(data), Digest.of(data), isinstance(content, Exe))
