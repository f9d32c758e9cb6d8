"""Decide whether the plain answer will do (ours, not the paper's; ``docs/method.md``)."""

from __future__ import annotations

from carve_models.settings import Settings


def reason_to_skip(entropy: float, probability: float, settings: Settings) -> str | None:
    """Return why the refinement is not needed, or ``None`` if it is.

    Args:
        entropy: attention entropy of the plain pass's last step, in nats.
        probability: of the plain answer, its end included.
        settings: with thresholds where ``adaptive`` is set.
    """
    sure, focused = settings.sure_probability, settings.focused_entropy
    if not settings.adaptive or sure is None or focused is None:
        return None
    if probability < sure or entropy > focused:
        return None
    return (
        f"the plain answer is sure (probability {probability:.3f}, at least {sure:.3f}) and "
        f"focused (entropy {entropy:.2f}, at most {focused:.2f})"
    )
