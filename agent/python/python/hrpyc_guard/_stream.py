"""The byte stream of a session, as rpyc wants it."""

import atexit
import os
import socket
import threading
import weakref
from typing import Any

from rpyc.core.stream import ClosedFile, SocketStream

from . import _native
from .errors import SessionDenied, SessionLost


class TunnelStream(SocketStream):  # type: ignore[misc]
    """One end of a socket pair; the other end is carried to a guard by native threads.

    It differs from rpyc's own stream in that the end of the session is raised as a
    :class:`~hrpyc_guard.errors.GuardError` which says why, and in that large messages are
    not copied once for every chunk that is sent.
    """

    __slots__ = ("_session", "_copies", "_forked", "__weakref__")

    #: What rpyc's channel sends as one piece.
    MAX_IO_CHUNK = 64000

    def __init__(self, session: _native.Session) -> None:
        super().__init__(socket.socket(fileno=session.descriptor))
        self._session = session
        self._copies = [(number, _inode(number)) for number in session.inherited]
        self._forked = False
        _streams.add(self)

    def fileno(self) -> int:
        """The descriptor. Raises :class:`EOFError` when the stream has ended."""
        check_leaving()
        try:
            return int(super().fileno())
        except EOFError as error:
            raise self._end(error) from None

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes. Raises :class:`EOFError` when the stream has ended."""
        check_leaving()
        buffer = bytearray(count)
        view = memoryview(buffer)
        try:
            while view:
                received = self.sock.recv_into(view)
                if not received:
                    raise EOFError("connection closed by peer")
                view = view[received:]
        except (EOFError, OSError) as error:
            self.close()
            raise self._end(error) from None
        return bytes(buffer)

    def write(self, data: bytes) -> None:
        """Sends all of it. Raises :class:`EOFError` when the stream has ended."""
        check_leaving()
        try:
            self.sock.sendall(data)
        except (EOFError, OSError) as error:
            self.close()
            raise self._end(error) from None

    def forget(self) -> None:
        """In a forked child: lets go of what is the parent's, without a word to anyone."""
        self._forked = True
        if not self.closed:
            self.sock.close()
            self.sock = ClosedFile
        for number, inode in self._copies:
            # The number may mean something else by now.
            if inode is not None and _inode(number) == inode:
                os.close(number)

    def _end(self, error: Exception) -> BaseException:
        if self._forked:
            return SessionLost(
                "this connection belongs to the process that this one was forked from",
                "call import_remote_module in this process",
            )
        ending = self._session.ending()
        if ending is not None:
            denied, *words = ending
            return (SessionDenied if denied else SessionLost)(*words)
        return error if isinstance(error, EOFError) else EOFError(error)


def _inode(number: int) -> Any:
    try:
        return os.fstat(number).st_ino
    except OSError:
        return None


_streams: "weakref.WeakSet[TunnelStream]" = weakref.WeakSet()

#: Connections over these streams. rpyc's own classes hold no weak references to streams.
_connections: "weakref.WeakSet[Any]" = weakref.WeakSet()


def keep(connection: Any) -> Any:
    """Remembers a connection, for forked children."""
    _connections.add(connection)
    return connection


def _in_child() -> None:
    for stream in list(_streams):
        stream.forget()
    for connection in list(_connections):
        # Another thread may have been sending; it does not exist here to let go of it, and
        # rpyc would wait for it before it finds the stream closed.
        if hasattr(connection, "_sendlock"):
            connection._sendlock = threading.Lock()


_leaving = threading.Event()


def check_leaving() -> None:
    """While the interpreter ends: no more calls.

    The main thread, which drops what is left, is told so. A daemon thread would go on until
    it is stopped wherever it is; it is stopped here, for there is nobody left to handle an
    error.

    :raises EOFError: in the main thread.
    """
    if _leaving.is_set():
        if threading.current_thread() is threading.main_thread():
            raise EOFError("this Python is ending")
        threading.Event().wait()


def _at_exit() -> None:
    _leaving.set()
    _native.finish()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
atexit.register(_at_exit)
