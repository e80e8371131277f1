"""Houdini's module as its maker's ``hrpyc`` gives it."""

from typing import Any


class InMainContext:
    """A remote ``hou`` of which each direct call sees the main thread's time.

    Houdini keeps a context for each thread, such as the current frame. Before a function of
    the module is called, the main thread's is copied to the thread that serves us, and
    afterwards back.
    """

    def __init__(self, module: Any) -> None:
        object.__setattr__(self, "_module", module)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if callable(found) and not name.startswith("_"):
            return _Bracketed(self._module, found)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._module, name)

    def __dir__(self) -> Any:
        return dir(self._module)

    def __repr__(self) -> str:
        return repr(self._module)


class _Bracketed:
    """A function or class of the module. Calling it copies before and after."""

    def __init__(self, module: Any, found: Any) -> None:
        self._module = module
        self._found = found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._module._syncFromMainContext()
        try:
            return self._found(*args, **kwargs)
        finally:
            self._module._syncToMainContext()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._found)

    def __dir__(self) -> Any:
        return dir(self._found)

    def __repr__(self) -> str:
        return repr(self._found)
