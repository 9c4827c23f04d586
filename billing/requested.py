"""What a request for media asks for: the few of its fields that decide what it costs.

The answers of these APIs say little (a speech is only sound, a transcript in `srt` only text), so a meter, an
estimate and a hold look at the request as well. It holds content and is never recorded.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Requested:
    """Fields of a request for images, speech, a transcript or a video; None where it does not say.

    `text` is the prompt, or what is to be spoken. `uploads` counts the files that came with it, `upload` is the
    first one (None where it was not kept whole) and `upload_bytes` its size.
    """

    model: str | None = None
    images: int = 1
    partial_images: int = 0
    size: str | None = None
    quality: str | None = None
    seconds: int | None = None
    text: str = field(default="", repr=False)
    uploads: int = 0
    upload: bytes | memoryview | None = field(default=None, repr=False)
    upload_bytes: int | None = None

    @property
    def image_variant(self) -> str:
        """How a model that is priced per image is listed: its quality unless `standard`, then the size."""
        quality = self.quality if self.quality not in {None, "standard", "auto"} else None
        size = self.size if self.size not in {None, "auto"} else "1024x1024"
        return " ".join(filter(None, (quality, size)))


NOTHING_REQUESTED = Requested()


def resolution(size: str | None) -> str:
    """How a video's size is listed, `720p` for 1280x720 either way up; empty for what is no size."""
    sides = (size or "").split("x")
    return f"{min(map(int, sides))}p" if len(sides) == 2 and all(side.isdecimal() for side in sides) else ""
