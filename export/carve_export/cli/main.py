"""The entry point: ``carve-export`` with its subcommands."""

from __future__ import annotations

from carve_export.cli.adopt import adopt
from carve_export.cli.engine import engine
from carve_export.cli.export import export
from carve_export.cli.precision import precision
from carve_export.cli.prompt import prompt
from carve_export.cli.push import push
from carve_export.cli.tap import tap
from carve_export.cli.verify import verify

main = export
main.subcommands |= {
    "verify": verify,
    "precision": precision,
    "prompt": prompt,
    "engine": engine,
    "push": push,
    "tap": tap,
    "adopt": adopt,
}
