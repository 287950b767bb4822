"""Worlds of an install: one application, its releases, its user and its machine."""

from __future__ import annotations

from hypothesis import strategies as st

from worlds.world import Step, World


@st.composite
def client_worlds(draw: st.DrawFn) -> World:
    """One install, from its first release on."""
    size = draw(st.integers(1, 3))
    ground = f"init; mkdir r1; printf %0{size}d 1 > r1/a; add 1.0 r1; offer 1.0\n"
    install = Step("install", "serve; inst a", "cmp -s r1/a a/a || fail '2 whole: not released'")
    return World(ground, (install,))
