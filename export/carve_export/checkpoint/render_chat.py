"""Render a chat template in a process of its own, which cannot take all time or memory.

In: ``template``, ``chats`` and ``variables`` as JSON on standard input. Out: the texts, or what
went wrong, as JSON on standard output. Templates are programs that others wrote: transformers runs
them in jinja2's sandbox, which keeps them from files and objects but not from counting for ever.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

from carve_models.child import run_module
from carve_models.errors import CheckpointError

#: Seconds of computing, and bytes, that a template may take; real ones take milliseconds.
_MOST_SECONDS, _MOST_BYTES = 2, 4 << 30
#: Seconds until the process must have ended, most of which it imports transformers.
_DEADLINE = 300
_REMEDY = 'correct the chat template, or give the prompts "single" and "pair" with --settings'


def render_chats(template: Any, chats: list[Any], variables: dict[str, Any]) -> list[str]:
    """Return the text of each chat, ready for an answer.

    Args:
        template: in jinja2's language, as transformers reads it.
        chats: messages, each with ``role`` and ``content``.
        variables: what else it may use, the special tokens for instance.

    Raises:
        CheckpointError: the template fails, or takes too long.
    """
    if not isinstance(template, str):
        raise CheckpointError(f"the chat template is a {type(template).__name__}", _REMEDY)
    try:
        task = json.dumps({"template": template, "chats": chats, "variables": variables})
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"the chat template's variables are no data: {error}", _REMEDY
        ) from error
    trial = run_module(__spec__.name, given=task, seconds=_DEADLINE)
    if trial.killed:
        raise CheckpointError(
            f"the chat template takes over {_MOST_SECONDS} s of computing, or too much memory",
            _REMEDY,
        )
    if trial.failure:
        raise CheckpointError(f"the chat template cannot be run: {trial.failure}", _REMEDY)
    answer = json.loads(trial.output)
    if "error" in answer:
        raise CheckpointError(f"the chat template cannot be run: {answer['error']}", _REMEDY)
    texts: list[str] = answer["texts"]
    return texts


def _limit() -> None:
    """Let the system end this process; Windows has the deadline alone."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2])) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (used + _MOST_SECONDS,) * 2)
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES,) * 2)


def _main() -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    task = json.loads(sys.stdin.read())
    _limit()
    try:
        texts, _ = render_jinja_template(
            conversations=task["chats"],
            chat_template=task["template"],
            add_generation_prompt=True,
            **task["variables"],
        )
        answer: dict[str, Any] = {"texts": texts}
    except Exception as error:  # whatever a program raises: also of recursion and memory
        answer = {"error": f"{type(error).__name__}: {str(error)[:500].rstrip('.')}"}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _main()
