"""Media: how the APIs of images, audio, videos and other work say what they used.

What they leave out (the model; for older ones any usage at all) is taken from the request: `Requested`.
"""

from decimal import Decimal
from typing import Any

import msgspec

from billing.meters.fees import drawn
from billing.meters.readers import BAD_JSON, Answered, fields, objects, read_as, reported_in
from billing.meters.spellings import Reported, split, split_images, timed
from billing.requested import Requested, resolution
from billing.usage import Reading, Unit, Usage

PARTIAL_IMAGE_TOKENS = 100
"""Output image tokens that every partial image costs. The usage of the `completed` event is that of "the output
image" (SDK types), and partial images come on top of it (image generation guide)."""


class _Images(Answered):
    type: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    svg_usage: Any = None


_IMAGES = msgspec.json.Decoder(_Images)
_MEMBERS = msgspec.json.Decoder(list[msgspec.Raw])


class ImagesReader:
    """Images: tokens where the model is priced by them, else the number of images in the answer.

    A stream reports each finished image by itself, so its events' usages add up.
    """

    def __init__(self, requested: Requested) -> None:
        self._requested = requested
        self._partial_images = 0
        self._usage: Usage | None = None
        self._authors: tuple[Reading, ...] = ()
        self.reading: Reading | None = None
        self.finished = False

    def read(self, payload: bytes) -> None:
        try:
            answered = _IMAGES.decode(payload)
        except BAD_JSON:
            return
        model = answered.model or self._requested.model
        if answered.type is not None and answered.type.endswith(".partial_image"):
            self._partial_images += 1
        usage = split_images(answered.usage) if answered.usage is not None else None
        if usage is not None:
            self._usage = usage + (self._usage or Usage())
            self._authors += drawn([answered.svg_usage])
            partial = Usage({Unit.OUTPUT_IMAGE: PARTIAL_IMAGE_TOKENS * self._partial_images})
            self.reading = Reading(self._usage + partial, model, besides=self._authors)
        elif self.reading is None and (images := _members(answered.data)):
            self.reading = Reading(Usage({Unit.IMAGES: images}), model, variant=self._requested.image_variant)


def _members(data: msgspec.Raw) -> int:
    try:
        return len(_MEMBERS.decode(data))
    except BAD_JSON:
        return 0


class _Transcript(Answered):
    type: str | None = None
    duration: Decimal | None = None


_TRANSCRIPT = msgspec.json.Decoder(_Transcript)


class TranscriptReader:
    """Transcripts and translations: tokens or seconds, by `usage` or, in `verbose_json`, by `duration`."""

    def __init__(self, requested: Requested) -> None:
        self._requested = requested
        self.reading: Reading | None = None
        self.finished = False

    def read(self, payload: bytes) -> None:
        try:
            answered = _TRANSCRIPT.decode(payload)
        except BAD_JSON:
            return
        self.finished = self.finished or answered.type == "transcript.text.done"
        usage = (
            (split(answered.usage) or timed(answered.usage.seconds, Unit.AUDIO_SECONDS))
            if answered.usage is not None
            else timed(answered.duration, Unit.AUDIO_SECONDS)
        )
        if usage is not None:
            self.reading = Reading(usage, answered.model or self._requested.model)


class _Video(Answered):
    object: str | None = None
    seconds: Decimal | None = None
    size: str | None = None


_VIDEO = msgspec.json.Decoder(_Video)


class VideoReader:
    """Videos: the seconds and the resolution of the job that was taken."""

    def __init__(self, requested: Requested) -> None:
        self.reading: Reading | None = None
        self.finished = False

    def read(self, payload: bytes) -> None:
        try:
            video = _VIDEO.decode(payload)
        except BAD_JSON:
            return
        usage = timed(video.seconds, Unit.VIDEO_SECONDS)
        if usage is not None and video.object == "video":
            self.reading = Reading(usage, video.model, None, video.id, variant=resolution(video.size))


class _Run(Answered):
    object: str | None = None


_RUN = msgspec.json.Decoder(_Run)


class RunReader:
    """An assistant's runs: the run's own usage, not that of its steps, which it includes."""

    def __init__(self, requested: Requested) -> None:
        self.reading: Reading | None = None
        self.finished = False

    def read(self, payload: bytes) -> None:
        if b'"usage"' not in payload:
            return
        try:
            run = _RUN.decode(payload)
        except BAD_JSON:
            return
        usage = split(run.usage) if run.usage is not None and run.object == "thread.run" else None
        if usage is not None:
            self.reading = read_as(run, usage)


class EvaluationReader:
    """A run of an evaluation or a grader: one usage for each model that took part, the first of them first."""

    def __init__(self, requested: Requested) -> None:
        self.reading: Reading | None = None
        self.finished = False

    def read(self, payload: bytes) -> None:
        run = fields(payload)
        by_model = run.get("model_grader_token_usage_per_model")
        if by_model == {}:  # a grader without a model: a reported zero
            self.reading = Reading(Usage())
            return
        if isinstance(by_model, dict):
            parts = [_part(model, reported_in(usage)) for model, usage in by_model.items()]
        else:
            parts = [_part(each.get("model_name"), reported_in(each)) for each in objects(run.get("per_model_usage"))]
        if parts and all(part is not None for part in parts):
            first, *others = (part for part in parts if part is not None)
            response_id = run.get("id") if isinstance(run.get("id"), str) else None
            self.reading = Reading(first.usage, first.model, None, response_id, besides=tuple(others))


def _part(model: object, reported: Reported | None) -> Reading | None:
    usage = split(reported) if reported is not None else None
    return Reading(usage, model) if usage is not None and isinstance(model, str) else None
