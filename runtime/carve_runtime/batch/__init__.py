"""Many questions about many pictures: records in, records with answers out."""

from carve_runtime.batch.record import AnswerOptions, Record, answer, answer_together

__all__ = ["AnswerOptions", "Record", "answer", "answer_together"]
