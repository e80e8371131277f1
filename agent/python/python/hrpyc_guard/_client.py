"""The artist's side: a connection to a Houdini behind a guard."""

import os
from typing import Any, Optional, Union

from ._hou import InMainContext


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
    :param timeout: seconds that it may take until Houdini has answered.
    :returns: an rpyc connection in classic mode. It closes when it is dropped.
    :raises ProfileError: nobody has joined here, or nothing is called so.
    :raises AccessDenied: somebody decided so.
    :raises Unavailable: something on the way is away, busy, or broken.
    """
    # Houdini's side imports this package too, and needs none of it.
    from ._link import link

    return link(server, port, profile, config_dir, timeout)


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
