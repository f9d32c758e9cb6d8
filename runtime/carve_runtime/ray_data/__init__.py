"""Questions about pictures on many machines: a Ray dataset of them in, one with answers out.

Needs the extra ``ray``.
"""

from carve_runtime.ray_data.actor import CarveActor
from carve_runtime.ray_data.dataset import Pool, ask_dataset
from carve_runtime.ray_data.files import read_questions, write_answers

__all__ = ["CarveActor", "Pool", "ask_dataset", "read_questions", "write_answers"]
