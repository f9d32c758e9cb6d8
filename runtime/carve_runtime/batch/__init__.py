"""Many questions about many pictures: records in, records with answers out."""

from carve_runtime.batch.answers import AnswersFile, open_answers
from carve_runtime.batch.inputs import Inputs
from carve_runtime.batch.record import AnswerOptions, Record, answer, answer_together
from carve_runtime.batch.run import WORKERS, answer_all, describe_run, share_of_cores

__all__ = [
    "WORKERS",
    "AnswerOptions",
    "AnswersFile",
    "Inputs",
    "Record",
    "answer",
    "answer_all",
    "answer_together",
    "describe_run",
    "open_answers",
    "share_of_cores",
]
