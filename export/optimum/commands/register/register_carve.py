"""``optimum-cli export carve``: ``carve-export`` as a command of Hugging Face's Optimum.

Optimum imports every file of this namespace, whichever distribution it belongs to.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import click
from optimum.commands.base import BaseOptimumCLICommand, CommandInfo
from optimum.commands.export.base import ExportCommand

from carve_export.cli.main import main

_PARAMETERS = [parameter for parameter in main.params if parameter.expose_value]


class CarveExportCommand(BaseOptimumCLICommand):
    """The arguments and options of ``carve-export``, which checks them itself."""

    COMMAND = CommandInfo(name="carve", help="Export a vision-language model to a CARVE bundle.")

    @staticmethod
    def parse_args(parser: ArgumentParser) -> None:
        """Declare the arguments and options of ``carve-export``."""
        parser.epilog = "Examples and the settings file: carve-export --help"
        for parameter in _PARAMETERS:
            name = str(parameter.name)
            if isinstance(parameter, click.Option):
                kind: dict[str, Any] = {"metavar": "VALUE"}
                if parameter.is_flag:
                    kind = {"action": "store_true"}
                elif parameter.multiple:
                    kind["action"] = "append"
                parser.add_argument(*parameter.opts, dest=name, help=parameter.help, **kind)
            else:
                parser.add_argument(name, metavar=name.upper())

    def run(self) -> None:
        """Hand the arguments over; the exit code is that of ``carve-export``."""
        options: list[str] = []
        positional: list[str] = []
        for parameter in _PARAMETERS:
            value = getattr(self.args, str(parameter.name))
            if isinstance(parameter, click.Argument):
                positional.append(value)
            elif value is True:
                options.append(parameter.opts[0])
            elif value not in (None, False):
                for item in value if isinstance(value, list) else [value]:
                    options += [parameter.opts[0], item]
        main.main([*options, "--", *positional], prog_name="optimum-cli export carve")


REGISTER_COMMANDS = [(CarveExportCommand, ExportCommand)]
