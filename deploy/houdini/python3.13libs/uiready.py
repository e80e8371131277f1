# Houdini runs this when its user interface is ready, whatever else has a uiready.py too.
try:
    import hrpyc_guard_launch

    hrpyc_guard_launch.start()
except ImportError as error:
    print("hrpyc_guard: no RPC server was started: %s" % error)
