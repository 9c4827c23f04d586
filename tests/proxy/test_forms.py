"""Forms: the same fields from JSON and from a form, however the form is written and wherever it is cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.requested import NOTHING_REQUESTED, Requested
from proxy.asked import NOTHING, Asked
from proxy.forms import (
    EMPTY,
    PARTS_CEILING,
    TEXT_CEILING_CHARACTERS,
    UPLOAD_CEILING_BYTES,
    Form,
    asked,
    is_form,
    read,
    requested,
)

JSON = "application/json"
KIND = "multipart/form-data; boundary=bound"
SOUND = b"\r\n--RIFF\0\xff\r\n--boun\r\n"


def part(name: str, content: str | bytes, more: str = "") -> bytes:
    head = f'--bound\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + (content if isinstance(content, bytes) else content.encode()) + b"\r\n"


def file(name: str, content: bytes) -> bytes:
    return part(name, content, '; filename="a.mp3"\r\nContent-Type: audio/mpeg')


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--bound--\r\n"


WHISPER = form(
    part("model", "whisper-1"),
    part("prompt", "Ünïcode"),
    file("file", SOUND),
    part("response_format", "srt"),
    part("stream", "true"),
    part("user", "ann"),
)


def test_a_form_is_read() -> None:
    found = read(KIND, WHISPER)
    assert found.fields == {
        "model": "whisper-1",
        "prompt": "Ünïcode",
        "response_format": "srt",
        "stream": "true",
        "user": "ann",
    }
    assert [(bytes(upload.content), upload.whole) for upload in found.files] == [(SOUND, True)]
    assert asked(found) == Asked(model="whisper-1", stream=True, user="ann")
    wanted = requested(found)
    assert (wanted.model, wanted.text, wanted.uploads, wanted.upload_bytes) == ("whisper-1", "Ünïcode", 1, len(SOUND))
    assert wanted.upload == SOUND


@given(st.integers(0, len(WHISPER)))
def test_a_form_that_was_cut_tells_what_came_before_the_cut(cut: int) -> None:
    found, whole = read(KIND, WHISPER[:cut], whole=False), read(KIND, WHISPER)
    assert found.fields.items() <= whole.fields.items()
    for upload in found.files:
        assert SOUND.startswith(bytes(upload.content).removesuffix(b"\r")) or not upload.whole
        assert not upload.whole or bytes(upload.content) == SOUND


def test_a_file_that_was_cut_is_bounded_by_the_whole_body() -> None:
    cut = WHISPER[: WHISPER.index(SOUND) + 9]
    assert requested(read(KIND, cut, whole=False)).upload is None
    assert requested(read(KIND, cut, whole=False), 20_000_000).upload_bytes == 20_000_000
    assert requested(read(KIND, cut, whole=False)).upload_bytes == UPLOAD_CEILING_BYTES
    assert requested(read(KIND, cut, whole=False)).model == "whisper-1"


@pytest.mark.parametrize(
    "kind",
    [
        'multipart/form-data; boundary="bound"',
        "Multipart/Form-Data; charset=utf-8; Boundary=bound",
        " multipart/form-data;boundary=bound",
    ],
)
def test_the_boundary_is_found_however_it_is_written(kind: str) -> None:
    assert is_form(kind)
    assert read(kind, WHISPER) == read(KIND, WHISPER)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", WHISPER),
        ("multipart/form-data; boundary=", WHISPER),
        ("multipart/form-data; boundary=other", WHISPER),
        (KIND, b""),
        (KIND, b"--bound"),
        (KIND, b"--bound--"),
        (KIND, b"--bound\r\nContent-Disposition: form-data\r\n\r\nx\r\n--bound--"),
        (KIND, b'--bound\r\nContent-Disposition: form-data; name="model"'),
        (JSON, b"[1]"),
        (JSON, b"{"),
        (JSON, b"\xff"),
        (None, b""),
    ],
)
def test_what_cannot_be_read_is_not_there(kind: str | None, body: bytes) -> None:
    found = read(kind, body)
    assert (found.fields, found.files) == ({}, ())
    assert requested(found) == NOTHING_REQUESTED
    assert asked(EMPTY) is NOTHING


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange(body: bytes) -> None:
    for kind in (KIND, JSON, None):
        for written in (body, b"--bound\r\n" + body, form(body)):
            assert isinstance(requested(read(kind, written)), Requested)


FIELDS = {
    "model": "gpt-image-1",
    "prompt": "a cat",
    "n": 3,
    "size": "1024x1536",
    "quality": "high",
    "stream": True,
    "partial_images": 2,
}


def test_json_and_a_form_say_the_same() -> None:
    written = {name: value if isinstance(value, str) else json.dumps(value) for name, value in FIELDS.items()}
    by_form = requested(read(KIND, form(*(part(name, value) for name, value in written.items()))))
    by_json = requested(read(JSON, json.dumps(FIELDS).encode()))
    assert by_form == by_json == Requested("gpt-image-1", 3, 2, "1024x1536", "high", text="a cat")


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"model": "tts-1", "input": "say it"}, Requested("tts-1", text="say it")),
        ({"model": "tts-1", "input": ["say", "it"]}, Requested("tts-1")),
        ({"model": "sora-2", "seconds": "8", "size": "1280x720"}, Requested("sora-2", seconds=8, size="1280x720")),
        ({"model": "sora-2", "seconds": 8}, Requested("sora-2", seconds=8)),
        ({"model": "m", "partial_images": 3}, Requested("m")),  # only a stream has them
        ({"model": "m", "images": [{"file_id": "a"}, {"file_id": "b"}]}, Requested("m", uploads=2)),
        ({"model": "m", "n": None}, Requested("m")),
        ({"model": "m", "n": "3"}, Requested("m", 3)),
        ({"model": "m", "n": -1}, Requested("m")),
        ({"model": "m", "n": True}, Requested("m")),
        ({"model": "m", "n": 10**7}, Requested("m")),
        ({"model": "m", "n": "9" * 5000}, Requested("m")),
        ({"model": "m", "n": "²"}, Requested("m")),
        ({"model": 7, "size": ["odd"], "quality": {}}, Requested()),
        ({"model": "a\0b"}, Requested("a\N{REPLACEMENT CHARACTER}b")),
        ({"input": "a" * (TEXT_CEILING_CHARACTERS + 1)}, Requested(text="a" * TEXT_CEILING_CHARACTERS)),
    ],
)
def test_odd_fields_are_taken_for_none(fields: dict[str, object], wanted: Requested) -> None:
    assert requested(Form(fields)) == wanted


def test_many_files_are_counted_and_parts_without_end_are_not() -> None:
    pictures = read(KIND, form(*(file("image[]", b"png") for _ in range(16)), part("model", "m")))
    assert requested(pictures).uploads == 16
    assert requested(pictures).model == "m"
    endless = read(KIND, form(*(part(f"f{number}", "") for number in range(1000)), part("model", "m")))
    assert len(endless.fields) == PARTS_CEILING


def test_the_first_of_two_fields_of_a_name_counts() -> None:
    assert read(KIND, form(part("model", "a"), part("model", "b"))).fields == {"model": "a"}


def test_no_content_is_shown() -> None:
    assert "RIFF" not in repr(read(KIND, WHISPER).files)
