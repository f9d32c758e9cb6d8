"""Kill exports, run them against each other, and poll what they replace: nothing may be lost.

``python -m tools.checks.kills`` kills replacements of pocket, one at each file operation, lets two
exports race for one place, and opens a bundle while it is replaced. With ``--exports 30`` it also
kills that many whole runs of ``carve-export``, each at a moment drawn by chance. The exit code is 1
if a bundle was lost or refused, or something stayed behind.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, partial
from multiprocessing.context import ForkProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import FrameType
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from carve_export.publish import folders
from carve_export.publish.claim import claim
from carve_export.publish.folders import file_entries
from carve_models.aside import abandoned, aside_of
from carve_models.errors import CarveError, ExportError
from carve_models.manifest import read_manifest, write_manifest
from carve_runtime.bundle import default_bundle, open_bundle

#: Functions of the system that change a folder, or what a power loss would leave of it.
_OPERATIONS = {
    *("open", "mkdir", "flock", "fsync", "chmod", "link", "symlink"),
    *("rename", "replace", "unlink", "remove", "rmdir"),
}
_MODULES = {"posix", "fcntl", "io", "_io"}
_MINE = "mine.txt"
_BAD = ("lost", "stayed", "failed")
_SEED = 20260516
_LAG = 0.05  # the longest between two exports, in seconds: about what one takes
_FORK = multiprocessing.get_context("fork")


class Bundles:
    """Bundles that differ in their number, and so in two files, and in nothing else."""

    def __init__(self, work: Path) -> None:
        self._work = work

    @cache  # noqa: B019 - lives as long as the program
    def number(self, number: int) -> Path:
        """Make a bundle of that number; return its folder."""
        source, folder = default_bundle(), self._work / f"bundle{number}"
        listed = read_manifest(source)
        for name in listed.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)
        for name in ("config.json", "tokenizer_config.json"):
            with (folder / name).open("a") as stream:
                stream.write("\n" * number)
        write_manifest(folder, replace(listed, source=str(number), files=file_entries(folder)))
        return folder

    def export(self, number: int, target: Path, *, overwrite: bool) -> None:
        """Bring a bundle to its place as an export does."""
        source = self.number(number)
        with claim(target, overwrite=overwrite) as claimed:
            shutil.copytree(source, claimed.folder, dirs_exist_ok=True, copy_function=os.link)
            claimed.publish(read_manifest)

    def at(self, target: Path) -> int:
        """Return which bundle is at a place, every byte compared.

        Raises:
            CarveError: none that can be used.
        """
        return int(open_bundle(target, verify=True).manifest.source)


def kill_everywhere(bundles: Bundles, target: Path) -> Counter[str]:
    """Kill a replacement at each file operation; return how often what was found afterwards."""
    bundles.export(0, target, overwrite=False)
    (target / _MINE).write_text("mine")
    outside = target.with_name("outside")
    outside.mkdir()
    (outside / "config.json").write_text("not of the bundle")
    (target / "linked").symlink_to(outside)
    found: Counter[str] = Counter()
    overwrite = partial(bundles.export, 1, target, overwrite=True)
    while True:
        killed = in_child(partial(kill_at, found["operations"] + 1, overwrite))
        if killed != -signal.SIGKILL:
            found["failed"] += killed != 0
            return found
        found["operations"] += 1
        found["left aside"] += aside_of(target).exists()
        try:
            found[("old", "new")[bundles.at(target)]] += 1
            found["lost"] += (target / _MINE).read_text() != "mine"
        except (CarveError, OSError):
            found["lost"] += 1
        bundles.export(0, target, overwrite=True)
        found["lost"] += bundles.at(target) != 0 or not (outside / "config.json").is_file()
        found["stayed"] += sorted(target.parent.iterdir()) != sorted([target, outside])


def kill_at(number: int, work: Callable[[], object]) -> None:
    """Do some work, and kill this process before its file operation of that number."""
    left = number

    def watch(frame: FrameType, event: str, called: object) -> None:
        nonlocal left
        name, module = (getattr(called, key, None) for key in ("__name__", "__module__"))
        if event == "c_call" and name in _OPERATIONS and module in _MODULES:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(watch)
    work()
    sys.setprofile(None)


def in_child(work: Callable[[], object]) -> int:
    """Do some work in a copy of this process; return its exit code, negative for a signal."""
    process = child(work)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def child(work: Callable[[], object]) -> ForkProcess:
    """Start a copy of this process that does some work."""
    process = _FORK.Process(target=work)
    process.start()
    return process


def race(bundles: Bundles, target: Path, rounds: int) -> Counter[str]:
    """Let two exports that may not replace anything race for a place; count how that ends."""
    draw, found = random.Random(_SEED), Counter[str]()
    for _ in range(rounds):
        ready, lag = _FORK.Barrier(2), draw.random() * _LAG
        both = [
            child(partial(start_export, bundles, number, target, ready, number * lag))
            for number in (0, 1)
        ]
        for process in both:
            process.join()
        won = [number for number, process in enumerate(both) if process.exitcode == 0]
        refused = sum(process.exitcode == 1 for process in both)
        found["one won, one was refused"] += len(won) == refused == 1
        found["lost"] += [bundles.at(target)] != won
        found["stayed"] += list(target.parent.iterdir()) != [target]
        shutil.rmtree(target)
    return found


def start_export(bundles: Bundles, number: int, target: Path, ready: Barrier, lag: float) -> None:
    """Export when the other one is ready too, and ``lag`` seconds later; exit with 1 if refused."""
    ready.wait()
    time.sleep(lag)
    try:
        bundles.export(number, target, overwrite=False)
    except ExportError:
        sys.exit(1)


def poll(bundles: Bundles, target: Path, overwrites: int) -> Counter[str]:
    """Open a bundle over and over while another process replaces it; count what was found."""
    bundles.export(0, target, overwrite=False)

    def overwrite() -> None:
        for number in range(overwrites):
            bundles.export((number + 1) % 2, target, overwrite=True)

    process = child(overwrite)
    found: Counter[str] = Counter(overwrites=overwrites)
    while process.is_alive():
        try:
            found[("old", "new")[bundles.at(target)]] += 1
        except CarveError:
            found["lost"] += 1
    process.join()
    found["failed"] += process.exitcode != 0
    found["stayed"] += list(target.parent.iterdir()) != [target]
    return found


def kill_exports(target: Path, times: int) -> Counter[str]:
    """Kill whole exports at moments drawn by chance; return what was found afterwards."""
    draw, found = random.Random(_SEED), Counter[str]()

    def export(suffix: str) -> subprocess.Popen[bytes]:
        settings = target.with_name(f"{target.name}.json")
        settings.write_text(json.dumps({"prompts": {"suffix": suffix}}))
        command = [sys.executable, "-c", "from carve_export.cli.main import main; main()"]
        checkpoint = default_bundle() / "checkpoint"
        options = [str(checkpoint), str(target), "--settings", str(settings), "--overwrite"]
        return subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)

    began = time.monotonic()
    found["failed"] += export("0").wait() != 0
    took, suffix = time.monotonic() - began, "0"
    for number in range(1, times + 1):
        process = export(str(number))
        try:
            process.wait(draw.random() * took)
        except subprocess.TimeoutExpired:
            process.kill()
            found["killed"] += 1
        process.wait()
        found["left aside"] += len(abandoned(target.parent))
        try:
            present = open_bundle(target, verify=True).manifest.prompts.suffix
            found["old"] += present == suffix
            found["new"] += present == str(number)
            found["lost"] += present not in (suffix, str(number))
            suffix = present
        except CarveError:
            found["lost"] += 1
    found["failed"] += export("last").wait() != 0
    found["lost"] += open_bundle(target, verify=True).manifest.prompts.suffix != "last"
    found["stayed"] += len(list(target.parent.iterdir())) != 2  # the bundle and its settings
    return found


def main(arguments: Iterable[str] | None = None) -> int:
    """Print a table of what was found; return 1 if something was lost, refused or stayed."""
    parser = argparse.ArgumentParser(prog="python -m tools.checks.kills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="of races, of overwrites")
    parser.add_argument("--exports", type=int, default=0, help="whole exports to kill")
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    with tempfile.TemporaryDirectory() as work:
        os.environ["XDG_CACHE_HOME"] = work  # nothing is remembered of these bundles
        places = (Path(work, f"place{number}", "bundle") for number in range(5))
        bundles = Bundles(Path(work))
        for number in (0, 1):
            bundles.number(number)
        found = {"killed at each file operation": kill_everywhere(bundles, next(places))}
        with patch.object(folders, "_exchange_at_once", lambda first, second: False):
            found["the same by three renames"] = kill_everywhere(bundles, next(places))
        found["two exports to one place"] = race(bundles, next(places), chosen.rounds)
        found["opened while it is replaced"] = poll(bundles, next(places), chosen.rounds)
        if chosen.exports:
            target = next(places)
            target.parent.mkdir()
            found["exports killed by chance"] = kill_exports(target, chosen.exports)
    table = Table("what was done", "what was found")
    for what, counts in found.items():
        table.add_row(what, ", ".join(f"{name} {count}" for name, count in counts.items()))
    Console().print(table)
    return int(any(counts[bad] for counts in found.values() for bad in _BAD))


if __name__ == "__main__":
    sys.exit(main())
