"""Sphinx's roles in docstrings, ``:class:`Name```, as code on the site."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|attr|mod|data):`~?([^`]+)`")


class Roles(griffe.Extension):
    """Replaces each role by the name that it marks."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Edit the docstring of an object that was read."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)
