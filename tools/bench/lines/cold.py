"""From the start of a process to the first printed answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from tools.bench.context import Context
from tools.bench.subjects import pocket
from tools.shared.figures import Figure
from tools.shared.timing import interleave, ratio, spread

_SECONDS = 0.8
_IMPORT = 0.3
_TORCH = """
import sys
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration
folder, image, question = sys.argv[1:]
model = LlavaForConditionalGeneration.from_pretrained(folder).eval()
processor = AutoProcessor.from_pretrained(folder)
prompt = f"<image>\\nUSER: {question}\\nASSISTANT:"
inputs = processor(images=Image.open(image), text=prompt, return_tensors="pt")
ids = model.generate(**inputs, do_sample=False)
print(processor.decode(ids[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
"""


def measure(context: Context) -> Iterator[Figure]:
    """Yield the seconds of ``carve-run ask`` with pocket, and its share of the PyTorch path's."""
    subject = pocket()
    image = str(subject.bundle / "example.jpg")
    run = "from carve_runtime.cli.main import main; main()"  # what the command carve-run does
    command = [sys.executable, "-c", run, "ask", "default", image, subject.question]
    in_torch = [sys.executable, "-c", _TORCH, str(subject.checkpoint), image, subject.question]
    ways = {
        "ours": lambda: _first_line([*command, "--plain"]),
        "through CARVE": lambda: _wait(command),
        "PyTorch": lambda: _first_line(in_torch),
        "import": lambda: _wait([sys.executable, "-c", "import carve_runtime"]),
        "nothing": lambda: _wait([sys.executable, "-c", "pass"]),
    }
    seconds = interleave(ways, context.rounds)
    note = "process to first printed answer"
    yield Figure("cold start", "pocket", spread(seconds["ours"]), "s", _SECONDS, note=note)
    yield Figure("cold start, CARVE to its end", "pocket", spread(seconds["through CARVE"]), "s")
    yield Figure("cold start in PyTorch", "pocket", spread(seconds["PyTorch"]), "s")
    pairs = zip(seconds["import"], seconds["nothing"], strict=True)
    imports = spread([whole - start for whole, start in pairs])
    yield Figure(
        "import carve_runtime", "", imports, "s", _IMPORT, note="Python's start not counted"
    )
    yield Figure("cold start / PyTorch", "pocket", ratio(seconds["ours"], seconds["PyTorch"]))


def _first_line(command: list[str]) -> str:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        process.kill()
    if not line.strip():
        raise SystemExit(f"{' '.join(command[:4])} ... printed nothing")
    return line


def _wait(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)
