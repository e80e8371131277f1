"""Starts this Houdini's RPC server for the guard, on loopback only.

``uiready.py`` calls ``start()`` once the user interface is up. hython never does: there, a script
that wants a server calls ``hrpyc_guard.start_server()`` itself.
"""

#: The ports that guard and firewall expect Houdinis on.
PORTS = range(18811, 18900)

#: The guard's own port lies among them. A Houdini there would keep the guard from starting.
GUARD_PORT = 18812


def start():
    """Starts the server on the first free port, and gives the port.

    ``None`` when there is no user interface or no server could be started. That is printed
    and never raised: Houdini has to start all the same.
    """
    try:
        return _start()
    # A native module that panics raises what is no Exception.
    except BaseException as error:
        print("hrpyc_guard: no RPC server was started: %s: %s" % (type(error).__name__, error))
        return None


def _start():
    import hou

    if not hou.isUIAvailable():
        return None
    import hrpyc_guard

    taken = None
    for port in PORTS:
        if port == GUARD_PORT:
            continue
        try:
            port = hrpyc_guard.start_server(port=port, use_thread=True, quiet=True)
        except OSError as error:
            taken = error
            continue
        print("hrpyc_guard: the RPC server listens on 127.0.0.1:%d" % port)
        return port
    raise taken
