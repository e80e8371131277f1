"""Houdini's side: the maker's server, out of reach of the network."""

import logging
import threading
from typing import Any, Optional

_LOOPBACK = "127.0.0.1"

_lock = threading.Lock()
_server: Optional[Any] = None


def start_server(port: int = 18811, use_thread: bool = True, quiet: bool = True) -> int:
    """Serves this Python to connections from this machine, where a guard takes them.

    It is ``hrpyc.start_server`` with two differences: it listens on 127.0.0.1 only, and its
    thread does not keep the program from ending.

    :param port: the port; 0 takes a free one.
    :param use_thread: serve from a thread, and return at once. Otherwise serve until
        :func:`stop_server` is called from elsewhere.
    :param quiet: log nothing but failures of the server itself.
    :returns: the port that it listens on, or listened on.
    :raises OSError: the port is taken.
    :raises RuntimeError: this process has a server already.
    """
    from rpyc.core.service import SlaveService
    from rpyc.utils.server import ThreadedServer

    global _server
    logger = logging.getLogger("hrpyc_guard.server")
    logger.setLevel(logging.CRITICAL if quiet else logging.INFO)
    with _lock:
        if _server is not None:
            raise RuntimeError(
                "this process has a server on port %d already\nhint: stop_server() ends it"
                % _server.port
            )
        try:
            server = ThreadedServer(
                SlaveService,
                hostname=_LOOPBACK,
                port=port,
                auto_register=False,
                logger=logger,
            )
            server.listener.listen(server.backlog)
        except OSError as error:
            raise type(error)(
                error.errno,
                "port %d of %s cannot be had: %s\nhint: another Houdini on this machine may "
                "have it; choose another port" % (port, _LOOPBACK, error.strerror),
            ) from None
        _server = server
    if use_thread:
        thread = threading.Thread(target=_serve, args=(server,), name="hrpyc_guard server")
        thread.daemon = True
        thread.start()
    else:
        _serve(server)
    return int(server.port)


def stop_server() -> None:
    """Ends the server and the sessions that it serves. Without a server, does nothing."""
    global _server
    with _lock:
        server, _server = _server, None
    if server is not None:
        server.close()


def _serve(server: Any) -> None:
    try:
        server.start()
    finally:
        global _server
        with _lock:
            if _server is server:
                _server = None
