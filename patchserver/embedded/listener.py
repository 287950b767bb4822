"""``patchserver serve``: granian in this process, its life from listening to the last answer."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.net import SocketHolder  # type: ignore[attr-defined]  # re-exported
from granian.server.embed import Server

from patchserver.embedded.front import Front
from updater.errors import MachineError

CONNECTIONS = 1000  # at a time; more wait to be accepted
HEADER_SECONDS = 30  # for a request's headers, and without a request until a client is dropped
STALLED_SECONDS = 60  # without a byte taken until a client is dropped
ENDING_SECONDS = 10  # for what is under way when the server is asked_to_end to end

_HEADERS = 32 * 1024  # bytes
_DESCRIPTORS = 4096
_BACKLOG = 1024  # connections that wait to be accepted


class _Embedded(Server):
    """granian on a socket that listens already.

    It would share a port that another program has taken, and cannot look names up.
    """

    def __init__(self, front: Front, listener: socket.socket) -> None:
        super().__init__(
            front,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(
                header_read_timeout=HEADER_SECONDS * 1000, max_buffer_size=_HEADERS
            ),
            websockets=False,
            backlog=_BACKLOG,
            backpressure=CONNECTIONS,
            log_enabled=False,
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        make: Any = SocketHolder  # its stub lacks the parameters
        self._shd = make(os.dup(self._listener.fileno()), False, _BACKLOG)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        InstallError: The address is taken or not ours.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:  # UnicodeError: no host name at all
        reason = getattr(error, "strerror", None) or str(error)
        message = f"cannot listen on {host} port {port}: {reason.lower()}"
        hint = "choose another --host or --port; --port 0 takes any free one"
        raise MachineError(message, hint=hint) from error
    _drop_stalled(listener)
    return listener


def _drop_stalled(listener: socket.socket) -> None:
    """Have the system end connections whose client takes nothing; accepted ones inherit it."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        listener.setsockopt(socket.IPPROTO_TCP, option, STALLED_SECONDS * 1000)


def _allow_descriptors() -> None:
    """Take what the system lets us have of open files: two for each connection."""
    try:
        import resource  # noqa: PLC0415 - does not exist on Windows
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def serve(front: Front, listener: socket.socket, ready: Callable[[], None]) -> bool:
    """Serve until SIGTERM or SIGINT; call ``ready`` as soon as requests are answered.

    Returns:
        Whether all that was under way ended in time. If not, threads that cannot be stopped
        are still at it: the process must end without waiting for them.
    """
    _allow_descriptors()
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(_serve(front, listener, ready))
    finally:
        loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    """A loop of uvloop where it is installed: it answers twice as many update checks."""
    try:
        import uvloop  # noqa: PLC0415 - does not exist for Windows
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _serve(front: Front, listener: socket.socket, ready: Callable[[], None]) -> bool:
    server, asked_to_end = _Embedded(front, listener), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end.set)
    server.on_startup(ready)
    serving = loop.create_task(server.serve())
    waiting = loop.create_task(asked_to_end.wait())
    await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    server.stop()  # type: ignore[no-untyped-call]  # has no annotations
    done, _ = await asyncio.wait((serving,), timeout=ENDING_SECONDS)
    for task in done:
        task.result()
    return bool(done)
