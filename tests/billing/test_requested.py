"""What a request for media asks for: how its image and its video are listed."""

import pytest

from billing.requested import NOTHING_REQUESTED, Requested, resolution


@pytest.mark.parametrize(
    ("size", "listed"),
    [
        ("1280x720", "720p"),
        ("720x1280", "720p"),
        ("1024x1792", "1024p"),
        ("1920x1080", "1080p"),
        (None, ""),
        ("auto", ""),
        ("10x", ""),
        ("1x2x3", ""),
        ("²x3", ""),
    ],
)
def test_a_resolution_is_the_shorter_side(size: str | None, listed: str) -> None:
    assert resolution(size) == listed


def test_no_content_is_shown() -> None:
    assert "secret" not in repr(Requested(text="secret", upload=b"secret"))
    assert NOTHING_REQUESTED.image_variant == "1024x1024"
