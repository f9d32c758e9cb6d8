"""Python modules in processes of their own."""

from __future__ import annotations

import os
import sys


def module_command(module: str, *arguments: str) -> list[str]:
    """Return a command that runs a module as this process would import it.

    ``python -m`` would look for it, and for what it imports, in the working folder first, where
    others may have put files of the same names.
    """
    paths = [os.path.abspath(path) for path in sys.path if path]  # noqa: PTH100 - keeps links
    code = (
        f"import sys; sys.path[:] = {paths!r}; import runpy; "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    return [sys.executable, "-c", code, *arguments]
