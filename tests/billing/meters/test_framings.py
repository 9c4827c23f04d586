"""Framings cut the same payloads out of an answer's bytes, whatever cuts the network made."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.meters import framings
from billing.meters.framings import EventStream, Framing, WholeBody


def payloads(framing: Framing, pieces: list[bytes]) -> list[bytes]:
    found = [payload for piece in pieces for payload in framing.feed(piece)]
    return found + framing.close()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(ends)]


STREAMS: dict[str, tuple[bytes, list[bytes]]] = {
    "nothing": (b"", []),
    "one event": (b"data: {}\n\n", [b"{}"]),
    "no space after the colon": (b"data:{}\n\n", [b"{}"]),
    "only one space is the format's": (b"data:  {}\n\n", [b" {}"]),
    "several": (b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n", [b"1", b"2", b"[DONE]"]),
    "many blank lines": (b"\n\n\ndata: 1\n\n\n\n\ndata: 2\n\n\n", [b"1", b"2"]),
    "several data lines are one payload": (b"data: {\ndata:  1\ndata:}\n\n", [b"{\n 1\n}"]),
    "comments": (b": hello\n\n:\ndata: 1\n: more\n\n:data: 2\n\n", [b"1"]),
    "named events": (b"event: response.created\ndata: 1\nid: 7\nretry: 10\n\n", [b"1"]),
    "other fields": (b"dataset: 1\nDATA: 2\n data: 3\n\n", []),
    "no data": (b"event: ping\n\ndata: 1\n\n", [b"1"]),
    "empty data": (b"data\n\ndata:\n\ndata: 1\n\n", [b"1"]),
    "the last event without its end": (b"data: 1\n\ndata: 2", [b"1", b"2"]),
    "the last line without its end": (b"data: 1\n\ndata: {\ndata: }\n", [b"1", b"{\n}"]),
    "an escaped line feed ends nothing": (b'data: "\\n\\ndata: 3"\n\n', [b'"\\n\\ndata: 3"']),
}
each_stream = pytest.mark.parametrize(("stream", "expected"), STREAMS.values(), ids=STREAMS)
each_line_end = pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])


@each_line_end
@each_stream
def test_events_at_every_pair_of_cuts(stream: bytes, expected: list[bytes], line_end: bytes) -> None:
    body = stream.replace(b"\n", line_end)
    for one in range(len(body) + 1):
        for two in range(one, len(body) + 1):
            pieces = [body[:one], body[one:two], b"", body[two:]]
            assert payloads(EventStream(), pieces) == expected, (one, two)


@given(
    st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"data: 1", b"data:", b": x", b"data: {}", b"event: e"])),
    st.lists(st.integers(0, 200), max_size=10),
)
def test_mixed_line_ends_in_any_cuts(tokens: list[bytes], places: list[int]) -> None:
    body = b"".join(tokens)
    whole = payloads(EventStream(), [body])
    assert payloads(EventStream(), cut(body, places)) == whole
    lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert payloads(EventStream(), [lines]) == whole


def test_an_event_is_told_as_soon_as_its_blank_line_is_there() -> None:
    stream = EventStream()
    assert stream.feed(b"data: 1\n") == []
    assert stream.feed(b"\ndata: 2\r\n\r") == [b"1", b"2"]
    assert stream.feed(b"\ndata: 3\n\n") == [b"3"]
    assert stream.close() == []


@pytest.mark.parametrize("length", range(24, 40))
def test_an_event_over_the_ceiling_is_passed_over_at_any_cut(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framings, "EVENT_CEILING", 30)
    big = b"data: " + b"x" * (length - 6)
    expected = [b"1", *([big[6:]] if length <= 30 else []), b"2"]
    body = b"data: 1\n\n" + big + b"\n\ndata: 2\n\n"
    for size in range(1, len(body) + 1):
        assert payloads(EventStream(), [body[at : at + size] for at in range(0, len(body), size)]) == expected, size


def test_an_event_without_end_takes_little_memory_and_is_no_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framings, "EVENT_CEILING", 2**20)
    stream = EventStream()
    tracemalloc.start()
    try:
        for _ in range(500):
            assert stream.feed(b"data: " + b"x" * 65_000) == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**23, "eight times the ceiling; the event was 32 MB"
    assert stream.close() == []


def test_a_whole_body_is_one_payload_when_it_has_ended() -> None:
    body = WholeBody()
    assert body.feed(b'{"a":') == body.feed(b"1}\n\ndata: 2\n\n") == []
    assert body.close() == [b'{"a":1}\n\ndata: 2\n\n']
    assert body.close() == []
    assert not body.truncated


def test_an_empty_body_is_no_payload() -> None:
    assert payloads(WholeBody(), []) == payloads(WholeBody(), [b"", b""]) == []


@given(st.integers(0, 100), st.integers(0, 60), st.integers(1, 200))
def test_a_body_over_the_ceiling_is_read_from_its_last_usage_on(before: int, after: int, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(framings, "WHOLE_CEILING", 100)
        patch.setattr(framings, "TAIL_BYTES", 50)
        end = b'"usage":{"prompt_tokens":1}' + b" " * after + b"}"
        body = b"{" + b"x" * before + b'"usage":0,' + end
        whole = WholeBody()
        found = payloads(whole, [body[at : at + size] for at in range(0, len(body), size)])
        assert whole.truncated == (len(body) > 100)
        if len(body) <= 100:
            assert found == [body]
        else:
            assert found == ([b"{" + end] if len(end) <= 50 else [b""])


def test_a_body_without_end_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framings, "WHOLE_CEILING", 2**20)
    whole = WholeBody()
    tracemalloc.start()
    try:
        for _ in range(500):
            whole.feed(b"%065000d" % 7)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**22, "four times the ceiling; the body was 32 MB"
