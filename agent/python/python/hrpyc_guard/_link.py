"""From arguments to an rpyc connection: what needs rpyc and the native part."""

import os
import re
import sys
import time
from typing import Any, Optional, Union

import rpyc
from rpyc.core.async_ import AsyncResultTimeout
from rpyc.core.protocol import DEFAULT_CONFIG, Connection
from rpyc.core.service import ClassicService
from rpyc.utils.factory import connect_stream

from ._version import __version__
from .errors import GuardError, SessionDenied, SessionLost, Unavailable

try:
    from . import _native
    from ._stream import TunnelStream, check_leaving, keep
except ImportError as _error:
    raise ImportError(
        "hrpyc_guard._native cannot be loaded here: %s\n"
        "hint: install the wheel for this system; start_server() needs nothing native" % _error
    ) from _error

#: What the maker's function takes for this machine. There is no Houdini without a guard
#: here: the only profile is meant.
_HERE = ("127.0.0.1", "localhost", "::1")

#: The traceback of what a guard answers in Houdini's place.
_FROM_GUARD = "(hrpyc-guard sent this message; it comes from no Python code)"


class _Connection(Connection):  # type: ignore[misc]
    """Raises what a guard says when it ends a session as the package's own exception."""

    def _unbox_exc(self, raw: Any) -> Any:
        error = super()._unbox_exc(raw)
        if isinstance(error, EOFError) and raw[3] == _FROM_GUARD:
            return _lost(str(error.args[0]))
        return error


class _Service(ClassicService):  # type: ignore[misc]
    """What rpyc's own function for connecting uses, over such a connection."""

    __slots__ = ()
    _protocol = _Connection


def link(
    server: Optional[str],
    port: Union[int, str, None],
    profile: Optional[str],
    config_dir: "Union[str, os.PathLike[str], None]",
    timeout: float,
) -> Any:
    """As :func:`hrpyc_guard.connect`."""
    check_leaving()
    end = time.monotonic() + timeout
    session = _native.open(
        server=meant(server),
        upstream=None if port is None else str(port),
        profile=profile,
        config_dir=config_dir,
        timeout=timeout,
        client=program(),
    )
    return keep(_greet(TunnelStream(session), end - time.monotonic()))


def doctor(
    server: Optional[str],
    profile: Optional[str],
    config_dir: "Union[str, os.PathLike[str], None]",
) -> tuple[bool, str, str]:
    """Each step of the way to the guard's verdict: all well, a text, the same in JSON."""
    return _native.doctor(
        server=meant(server), profile=profile, config_dir=config_dir, client=program()
    )


def program() -> str:
    """How we name ourselves to a guard, for its audit."""
    here = "%d.%d" % sys.version_info[:2]
    return "hrpyc_guard %s (Python %s, rpyc %s)" % (__version__, here, our_rpyc())


def our_rpyc() -> str:
    """The version of the rpyc in this Python."""
    return ".".join(str(part) for part in rpyc.version.version)


def meant(server: Optional[str]) -> Optional[str]:
    """What a script means by a server: nothing in particular, when it names this machine."""
    return None if server in _HERE else server


def _greet(stream: TunnelStream, limit: float) -> Any:
    """The first words of rpyc's two ends to each other, for which it has no limit but 30 s.

    :param limit: seconds; as many again are not given to any answer.
    :returns: the connection, with rpyc's own limit for what is asked from now on.
    """
    config = {"sync_request_timeout": max(limit, 0.1)}
    try:
        connection = connect_stream(stream, service=_Service, config=config)
    except SessionDenied:
        raise
    except AsyncResultTimeout:
        stream.close()
        raise Unavailable(
            "the guard opened the session, and Houdini gave no answer in time",
            "a Houdini that cooks does not answer: try again when it is done",
        ) from None
    except GuardError as error:
        stream.close()
        if error.code is not None:
            raise Unavailable(error.sentence, error.hint, error.code) from None
        raise Unavailable(
            "%s, at our first word: perhaps its rpyc and our rpyc %s do not understand each other"
            % (error.sentence, our_rpyc()),
            _other_rpyc(),
        ) from None
    except Exception as error:
        stream.close()
        raise Unavailable(
            "Houdini's rpyc and our rpyc %s do not understand each other: %s"
            % (our_rpyc(), _first_line(error)),
            _other_rpyc(),
        ) from error
    connection._config["sync_request_timeout"] = DEFAULT_CONFIG["sync_request_timeout"]
    return connection


def _lost(text: str) -> SessionLost:
    """The exception for ``SENTENCE (code)`` and, on a line of its own, ``hint: ...``."""
    sentence, _, hint = text.partition("\nhint: ")
    code = re.search(r" \(([a-z-]+)\)$", sentence)
    return SessionLost(sentence, hint or None, code and code.group(1))


def _other_rpyc() -> str:
    have = "Houdini may have rpyc %s: have a guard that inspects the session, which translates, or "
    if int(rpyc.version.version[0]) >= 6:
        return have % "4.1 to 5.3" + "install that here, such as `pip install 'rpyc<6'`"
    return have % "6" + "install that here, such as `pip install 'rpyc>=6'`"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
