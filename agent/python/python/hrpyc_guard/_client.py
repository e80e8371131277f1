"""The artist's side: a connection to a Houdini behind a guard."""

import os
import sys
from typing import Any, Optional, Union

import rpyc
from rpyc.utils.classic import connect_stream

from . import _native
from ._hou import InMainContext
from ._stream import TunnelStream, keep
from ._version import __version__

#: What the maker's function takes for this machine. There is no Houdini without a guard
#: here: the only profile is meant.
_HERE = ("127.0.0.1", "localhost", "::1")


def program() -> str:
    """How we name ourselves to a guard, for its audit."""
    here = "%d.%d" % sys.version_info[:2]
    theirs = ".".join(str(part) for part in rpyc.version.version)
    return "hrpyc_guard %s (Python %s, rpyc %s)" % (__version__, here, theirs)


def connect(
    server: Optional[str] = None,
    port: Union[int, str, None] = None,
    *,
    profile: Optional[str] = None,
    config_dir: "Union[str, os.PathLike[str], None]" = None,
    timeout: float = 8.0,
) -> Any:
    """Connects to the Python of a Houdini, as ``rpyc.classic.connect`` does.

    :param server: a profile, a guard, ``PROFILE:GUARD``, or the host in a guard's address.
        Without it, or with this machine's own name or address, the only profile.
    :param port: Houdini's port on the workstation, or its configured name; the guard's
        first Houdini without it.
    :param profile: the profile to use, when several would do.
    :param config_dir: where the profiles are; the user's configuration folder without it.
    :param timeout: seconds that it may take until the session is open.
    :returns: an rpyc connection in classic mode. It closes when it is dropped.
    :raises ProfileError: nobody has joined here, or nothing is called so.
    :raises AccessDenied: somebody decided so.
    :raises Unavailable: something on the way is away, busy, or broken.
    """
    session = _native.open(
        server=meant(server),
        upstream=None if port is None else str(port),
        profile=profile,
        config_dir=config_dir,
        timeout=timeout,
        client=program(),
    )
    return keep(connect_stream(TunnelStream(session)))


def import_remote_module(
    server: Optional[str] = None,
    port: Union[int, str, None] = None,
    module_name: str = "hou",
    *,
    profile: Optional[str] = None,
    config_dir: "Union[str, os.PathLike[str], None]" = None,
    timeout: float = 8.0,
    name: Optional[str] = None,
) -> tuple[Any, Any]:
    """Connects to a Houdini and imports one of its modules, as the maker's function does.

    Of ``hou``, each call made directly on the module runs with the context of Houdini's
    main thread, such as the current frame.

    :param server: as for :func:`connect`.
    :param port: as for :func:`connect`.
    :param module_name: the module to import there.
    :param profile: as for :func:`connect`.
    :param config_dir: as for :func:`connect`.
    :param timeout: as for :func:`connect`.
    :param name: the maker's word for ``module_name``.
    :returns: ``(connection, module)``. Keep the connection for as long as the module is used.
    :raises GuardError: as :func:`connect`.
    """
    wanted = module_name if name is None else name
    connection = connect(
        server, port, profile=profile, config_dir=config_dir, timeout=timeout
    )
    try:
        module = connection.modules[wanted]
    except BaseException:
        connection.close()
        raise
    return connection, InMainContext(module) if wanted == "hou" else module


def meant(server: Optional[str]) -> Optional[str]:
    """What a script means by a server: nothing in particular, when it names this machine."""
    return None if server in _HERE else server
