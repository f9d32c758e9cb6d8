"""OpenAI's chat request, and what of it can be honoured; the rest is refused, never ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from carve_models.settings import Settings, shown
from carve_runtime.serve.extras import EXTRAS
from carve_runtime.serve.refusals import RequestError

#: Fields that may be there as long as they ask for nothing, and what they then say.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "stop": ([],),
    "store": (False,),
    "temperature": (0,),
    "tool_choice": ("none",),
    "tools": ([],),
    "top_p": (1,),
}
#: Fields that change no answer: labels, and a seed for what is never random.
_WITHOUT_EFFECT = ("metadata", "prompt_cache_key", "safety_identifier", "seed", "user")
_REMEDY = "see docs/serve.md for what the server takes"
_SETTINGS = frozenset(field.name for field in fields(Settings))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _only(wanted: Any, why: str) -> AfterValidator:
    """Refuse any other value than one, with a reason."""

    def check(value: Any) -> Any:
        if value != wanted:
            raise ValueError(f"is {shown(value)}: {why}")
        return value

    return AfterValidator(check)


class ImageUrl(_Strict):
    """Where the picture is: a data URL, or an address if the server fetches them."""

    url: str
    detail: Annotated[
        str, _only("auto", "the model decides; carve.scout_pixels limits what it sees")
    ] = "auto"


class Part(_Strict):
    """The picture or the question: ``type`` names the field that is there."""

    type: Literal["image_url", "text"]
    image_url: ImageUrl | None = None
    text: str | None = None

    def model_post_init(self, _: object) -> None:
        """Refuse a part that is both or neither."""
        there = {name for name in ("image_url", "text") if getattr(self, name) is not None}
        if there != {self.type}:
            raise ValueError(f"has type {self.type!r}: send {self.type} and nothing else with it")


def _one_each(content: list[Part]) -> list[Part]:
    for kind, name in (("image_url", "picture"), ("text", "question")):
        count = sum(part.type == kind for part in content)
        if count != 1:
            raise ValueError(f"has {count} parts of type {kind}: send one {name}")
    return content


class Message(_Strict):
    """The one message: a picture and a question, in any order."""

    role: Annotated[str, _only("user", "the bundle has its own prompt; ask in a user message")]
    content: Annotated[list[Part], AfterValidator(_one_each)]
    name: str | None = None

    @property
    def image(self) -> str:
        """The picture's URL."""
        return next(part.image_url.url for part in self.content if part.image_url is not None)

    @property
    def question(self) -> str:
        """The question."""
        return next(part.text for part in self.content if part.text is not None)


def _one_message(messages: list[Message]) -> list[Message]:
    if len(messages) != 1:
        raise ValueError(f"has {len(messages)} messages: send one, every question stands alone")
    return messages


class StreamOptions(_Strict):
    """What a stream contains besides."""

    include_usage: bool = False
    include_obfuscation: Annotated[bool, _only(False, "streams are not padded")] = False


class CarveOptions(BaseModel):
    """How to ask: any field of ``carve_runtime.Settings`` besides those named here."""

    model_config = ConfigDict(extra="allow", strict=True)

    plain: bool = False
    variant: str | None = None
    include: list[str] = []

    def model_post_init(self, _: object) -> None:
        """Refuse names that mean nothing, and those that mean nothing together."""
        _require_known("extra", self.include, EXTRAS)
        _require_known("setting", self.settings, _SETTINGS)
        if self.plain:
            used = [*self.include, *(name for name in self.settings if name != "max_new_tokens")]
            used += ["variant"] if self.variant is not None else []
            if used:
                raise ValueError(
                    f"has {used[0]}, which says how CARVE works: it does nothing with plain"
                )

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that are given."""
        return {
            name: value for name, value in (self.model_extra or {}).items() if value is not None
        }


def _require_known(name: str, given: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(given).difference(known))
    if unknown:
        names = ", ".join(sorted(known))
        raise ValueError(f"knows no {name} {shown(unknown[0])}: choose from {names}")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A request that can be honoured.

    Attributes:
        image: the picture's URL.
        question: what to ask.
        plain: with one pass, without CARVE.
        variant: of CARVE.
        changes: fields of :class:`carve_runtime.Settings`, with values that nobody has checked.
        include: names of :data:`carve_runtime.serve.extras.EXTRAS`.
    """

    image: str
    question: str
    plain: bool
    variant: Any
    changes: dict[str, Any]
    include: tuple[str, ...]


class ChatRequest(BaseModel):
    """The body of ``POST /v1/chat/completions``."""

    model_config = ConfigDict(extra="allow", strict=True)

    model: str
    messages: Annotated[list[Message], AfterValidator(_one_message)]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    carve: CarveOptions = Field(default_factory=CarveOptions)

    def model_post_init(self, _: object) -> None:
        """Refuse fields that ask for what nobody can give."""
        for name, value in (self.model_extra or {}).items():
            if value is None or name in _WITHOUT_EFFECT:
                continue
            if name not in _NEUTRAL:
                raise ValueError(f"has a field {shown(name)}, which the server does not know")
            if not any(value == neutral for neutral in _NEUTRAL[name]):
                allowed = " or ".join(map(shown, _NEUTRAL[name]))
                raise ValueError(
                    f"has {name} {shown(value)}: an answer is one text, the likeliest, so it can "
                    f"only be {allowed} or left out"
                )
        if self.stream_options is not None and not self.stream:
            raise ValueError("has stream_options: they go with stream true")

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with what the answer has cost."""
        return self.stream_options is not None and self.stream_options.include_usage

    def read(self) -> Ask:
        """Return what is asked; the settings are as they were sent.

        Raises:
            RequestError: two limits of the answer's length that differ.
        """
        carve = self.carve
        limits = {
            name: value
            for name, value in (
                ("max_tokens", self.max_tokens),
                ("max_completion_tokens", self.max_completion_tokens),
                ("carve.max_new_tokens", carve.settings.get("max_new_tokens")),
            )
            if value is not None
        }
        if len(set(map(shown, limits.values()))) > 1:
            raise RequestError(f"{' and '.join(limits)} differ", "send one of them", "max_tokens")
        changes: dict[str, Any] = carve.settings
        for value in limits.values():
            changes["max_new_tokens"] = value
        message = self.messages[0]
        return Ask(
            image=message.image,
            question=message.question,
            plain=carve.plain,
            variant=carve.variant,
            changes=changes,
            include=tuple(dict.fromkeys(carve.include)),
        )


def refused_request(errors: Iterable[Mapping[str, Any]]) -> RequestError:
    """Return the first of pydantic's complaints about a request as an error of ours."""
    first = next(iter(errors))
    place = _place(first["loc"])
    own = first.get("ctx", {}).get("error")
    if isinstance(own, Exception):
        return RequestError(f"{place or 'the request'} {own}", _REMEDY, place or None)
    return RequestError(f"{place or 'the request'}: {first['msg']}", _REMEDY, place or None)


def _place(location: Iterable[str | int]) -> str:
    """Return ``("body", "messages", 0, "role")`` as ``messages[0].role``."""
    spelled = ""
    for part in list(location)[1:]:
        spelled += f"[{part}]" if isinstance(part, int) else f".{part}"
    return spelled.lstrip(".")
