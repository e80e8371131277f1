"""The client half of ``hrpyc``: the same calls in the same order, on a stock rpyc."""


def import_remote_module(server="127.0.0.1", port=18811, module_name="hou"):
    """Connects and gives ``(connection, module)``.

    Of ``hou``, each call made directly on the module is bracketed by the copies from and
    to Houdini's main thread, so that it sees the time that the artist sees.
    """
    import rpyc

    connection = rpyc.classic.connect(server, port)
    module = connection.modules[module_name]
    if module_name == "hou":
        module = _InMainContext(module)
    return connection, module


class _InMainContext(object):
    """A remote ``hou`` whose own functions run in the main thread's context."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        found = getattr(self._module, name)
        if callable(found) and not name.startswith("_"):
            return _Bracketed(self._module, found)
        return found


class _Bracketed(object):
    """A function or class of the remote module. Calling it copies before and after."""

    def __init__(self, module, found):
        self._module = module
        self._found = found

    def __call__(self, *args, **kwargs):
        self._module._syncFromMainContext()
        try:
            return self._found(*args, **kwargs)
        finally:
            self._module._syncToMainContext()

    def __getattr__(self, name):
        return getattr(self._found, name)
