"""Each line that is marked must be found by a type checker."""

import hrpyc_guard

hrpyc_guard.import_remote_module(server=1.5)  # wrong
hrpyc_guard.connect(timeout="soon")  # wrong
hrpyc_guard.start_server(port="18811")  # wrong
hrpyc_guard.no_such_function()  # wrong
