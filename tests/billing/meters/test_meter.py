"""A meter reads what OpenAI's answers report, however the network cut them: the cassettes, and what could go wrong.

A cassette is an answer's bytes (`.json` whole, `.sse` streamed) and, beside it, what must be read from them.
"""

import gzip
import tomllib
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.meters import meter as meters
from billing.meters.decoding import decoder
from billing.meters.flavours import ALL, CHAT, COMPLETIONS, EMBEDDINGS, Flavour
from billing.meters.framings import TAIL_BYTES, WHOLE_CEILING, EventStream, WholeBody
from billing.meters.meter import Meter
from billing.requested import Requested
from billing.usage import Reading, Unit, Usage

FOLDER = Path(__file__).parents[2] / "cassettes"
FLAVOURS = {flavour.name: flavour for flavour in ALL}


@dataclass(frozen=True)
class Cassette:
    name: str
    body: bytes
    streamed: bool
    flavour: Flavour
    finished: bool
    reading: Reading | None
    text: str
    seen: dict[str, str]
    requested: Requested

    def meter(self, coding: str | None = None) -> Meter:
        return Meter(EventStream() if self.streamed else WholeBody(), self.flavour, decoder(coding), self.requested)


def told_reading(told: dict[str, Any]) -> Reading:
    usage = Usage({Unit(unit): quantity for unit, quantity in told["usage"].items()})
    return Reading(**{**told, "usage": usage, "besides": tuple(map(told_reading, told.get("besides", ())))})


def cassette(path: Path) -> Cassette:
    told = tomllib.loads(path.with_suffix(".toml").read_text())
    return Cassette(
        path.stem,
        path.read_bytes(),
        path.suffix == ".sse",
        FLAVOURS[told["flavour"]],
        told["finished"],
        told_reading(told["reading"]) if "reading" in told else None,
        told.get("text", ""),
        told.get("seen", {}),
        Requested(**told.get("requested", {})),
    )


CASSETTES = [cassette(path) for path in sorted(FOLDER.iterdir()) if path.suffix in (".json", ".sse")]
STREAMED = [each for each in CASSETTES if each.streamed]
each_cassette = pytest.mark.parametrize("answer", CASSETTES, ids=lambda answer: answer.name)


def read(meter: Meter, pieces: Iterable[bytes]) -> tuple[Reading | None, bool]:
    for piece in pieces:
        meter.feed(piece)
    reading = meter.close()
    return reading, meter.finished


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    ends = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


def test_every_cassette_has_its_reading_and_every_reading_its_cassette() -> None:
    assert len(CASSETTES) >= 30
    assert {path.stem for path in FOLDER.glob("*.toml")} == {each.name for each in CASSETTES}


@each_cassette
def test_a_reading_does_not_depend_on_where_the_answer_was_cut(answer: Cassette) -> None:
    expected = (answer.reading, answer.finished)
    for place in range(len(answer.body) + 1):
        assert read(answer.meter(), cut(answer.body, [place])) == expected, place
    assert read(answer.meter(), (answer.body[i : i + 1] for i in range(len(answer.body)))) == expected


@each_cassette
def test_an_answer_that_breaks_off_is_read_right_or_not_at_all(answer: Cassette) -> None:
    for place in range(len(answer.body)):
        reading, finished = read(answer.meter(), [answer.body[:place]])
        assert reading in (None, answer.reading), place
        assert answer.finished or not finished


@pytest.mark.parametrize("answer", STREAMED, ids=lambda answer: answer.name)
@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
def test_any_line_end_will_do(answer: Cassette, line_end: bytes) -> None:
    body = answer.body.replace(b"\n", line_end)
    for size in (1, 2, 3, 7, len(body)):
        assert read(answer.meter(), cut(body, range(size, len(body), size))) == (answer.reading, answer.finished)


@given(st.data())
def test_nor_on_how_often(data: st.DataObject) -> None:
    answer = data.draw(st.sampled_from(CASSETTES))
    line_end = data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"])) if answer.streamed else b"\n"
    coding = data.draw(st.sampled_from([None, "gzip"]))
    body = answer.body.replace(b"\n", line_end)
    body = gzip.compress(body) if coding else body
    places = data.draw(st.lists(st.integers(0, len(body)), max_size=30))
    meter = answer.meter(coding)
    assert read(meter, cut(body, places)) == (answer.reading, answer.finished)
    if answer.reading is None:
        assert meter.text() == answer.text


@each_cassette
def test_what_was_seen_serves_an_estimate(answer: Cassette) -> None:
    meter = answer.meter()
    read(meter, [answer.body])
    seen = meter.seen()
    if answer.reading is None:
        assert {"id": seen.id, "model": seen.model, "service_tier": seen.service_tier} == {
            "id": None,
            "model": None,
            "service_tier": None,
            **answer.seen,
        }
        assert meter.text() == answer.text
    else:
        found = (answer.reading.response_id, answer.reading.model, answer.reading.service_tier)
        assert (seen.id, seen.model, seen.service_tier) == found


@pytest.mark.parametrize(
    ("name", "deltas", "model"),
    [
        ("chat-stream-usage", 5, "gpt-4.1-mini-2025-04-14"),
        ("completions-stream", 2, "gpt-3.5-turbo-instruct:20230824-v2"),
        ("responses-stream", 6, "gpt-5-2025-08-07"),
    ],
)
def test_a_stream_that_breaks_off_amid_its_text_still_says_who_answered(name: str, deltas: int, model: str) -> None:
    """Responses' deltas do not name the model: their first event does."""
    answer = next(each for each in CASSETTES if each.name == name)
    meter = answer.meter()
    assert read(meter, [b"\n\n".join(answer.body.split(b"\n\n")[:deltas])]) == (None, False)
    assert meter.seen().model == model
    assert meter.text()


def chat(usage: str) -> bytes:
    return b'{"id":"chatcmpl-1","model":"gpt-4.1","choices":[{"message":{"content":"hi"}}],"usage":%s}' % usage.encode()


@pytest.mark.parametrize(
    "usage",
    [
        "null",
        "{}",
        "[]",
        "7",
        '"7"',
        "true",
        '{"prompt_tokens":null,"completion_tokens":3}',
        '{"completion_tokens":3}',
        '{"prompt_tokens":"12","completion_tokens":3}',
        '{"prompt_tokens":12.5,"completion_tokens":3}',
        '{"prompt_tokens":true,"completion_tokens":3}',
        '{"prompt_tokens":[12],"completion_tokens":3}',
        '{"prompt_tokens":-12,"completion_tokens":3}',
        '{"prompt_tokens":12,"completion_tokens":-3}',
        '{"prompt_tokens":12,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":-1}}',
        '{"prompt_tokens":12,"completion_tokens":3,"prompt_tokens_details":"none"}',
        '{"prompt_tokens":1000000001,"completion_tokens":3}',
        '{"prompt_tokens":12,"completion_tokens":99999999999999999999999999}',
        '{"prompt_tokens":1e999,"completion_tokens":3}',
        '{"prompt_tokens":NaN,"completion_tokens":3}',
        '{"prompt_tokens":12,"completion_tokens":3',
    ],
)
def test_a_usage_that_makes_no_sense_is_no_reading(usage: str) -> None:
    for framing, body in ((WholeBody(), chat(usage)), (EventStream(), b"data: " + chat(usage) + b"\n\n")):
        meter = Meter(framing, CHAT)
        assert read(meter, [body])[0] is None
    if usage.endswith("}") and "NaN" not in usage and "1e999" not in usage:  # else it is no JSON at all
        assert meter.seen().model == "gpt-4.1"


def test_a_count_is_believed_up_to_a_thousand_million() -> None:
    reading, _ = read(Meter(WholeBody(), CHAT), [chat('{"prompt_tokens":1000000000,"completion_tokens":3}')])
    assert reading is not None
    assert reading.usage[Unit.INPUT_TEXT] == 10**9


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[1]", b'"usage"', b"\xff\xfe", b'{"usage"', b"[" * 100_000])
def test_what_is_no_object_is_no_reading(body: bytes) -> None:
    for framing, flavour in ((framing, flavour) for flavour in ALL for framing in (WholeBody(), EventStream())):
        meter = Meter(framing, flavour)
        assert read(meter, [b"data: ", body, b"\n\n"] if isinstance(framing, EventStream) else [body]) == (None, False)
        assert meter.text() == ""
        assert meter.seen().model is None


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_no_bytes_are_too_strange(body: bytes, places: list[int]) -> None:
    framing = EventStream()
    meter = Meter(framing, CHAT)
    reading, _ = read(meter, cut(b"data: " + body, [place % (len(body) + 7) for place in places]))
    assert reading is None
    assert isinstance(meter.text(), str)


def test_the_text_of_many_events_is_the_same_at_any_cut() -> None:
    """Text is taken out by the backlog: the answer here is several backlogs long."""
    words = [f"word {number} " for number in range(5000)]
    body = b"".join(b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % word.encode() for word in words)
    assert len(body) > 3 * meters.TEXT_BACKLOG_BYTES
    for size in (101, 4096, len(body)):
        meter = Meter(EventStream(), CHAT)
        assert read(meter, cut(body, range(size, len(body), size)))[0] is None
        assert meter.text() == "".join(words)
        assert meter.text() == "".join(words), "asking changes nothing"


def test_what_was_read_for_its_text_is_let_go() -> None:
    event = b'data: {"choices":[{"delta":{"content":"x"}}],"obfuscation":"%s"}\n\n' % (b"o" * 1000)
    meter = Meter(EventStream(), CHAT)
    tracemalloc.start()
    try:
        for _ in range(3000):
            meter.feed(event[:50])
            meter.feed(event[50:])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * meters.TEXT_BACKLOG_BYTES, "the stream was 3 MB"
    assert meter.text() == "x" * 3000


def test_text_is_asked_for_in_the_middle_and_goes_on() -> None:
    meter = Meter(EventStream(), COMPLETIONS)
    meter.feed(b'data: {"choices":[{"text":"one "}]}\n\n')
    assert meter.text() == "one "
    meter.feed(b'data: {"choices":[{"text":"two"}]}\n\n')
    assert meter.text() == "one two"


def test_text_without_end_is_kept_to_its_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "TEXT_CEILING_CHARACTERS", 100)
    meter = Meter(EventStream(), CHAT)
    for _ in range(1000):
        meter.feed(b'data: {"choices":[{"delta":{"content":"0123456789"}}]}\n\n')
        meter.text()
    assert meter.text() == "0123456789" * 11


@pytest.mark.parametrize("size", [65_536, 1_000_003, 2**40])
def test_the_usage_at_the_end_of_a_very_long_body_is_found(size: int) -> None:
    embeddings = b'{"object":"list","data":[' + b"-0.0069292834," * (WHOLE_CEILING // 14 + 100)
    end = b'1.0],"model":"text-embedding-3-large","usage":{"prompt_tokens":77,"total_tokens":77}}\n'
    meter = Meter(WholeBody(), EMBEDDINGS)
    body = embeddings + end
    reading, _ = read(meter, (body[start : start + size] for start in range(0, len(body), size)))
    assert reading is not None
    assert reading.usage == Usage({Unit.INPUT_TEXT: 77})


@pytest.mark.parametrize(
    "end",
    [
        b'"usage":{"prompt_tokens":77,"total_tokens":77}',  # broken off
        b'"usage":{"prompt_tokens":77',
        b'"metadata":{"usage":{"prompt_tokens":77}}}',  # another object's
        b'"user":"usage"}',
        b'"content":"\\"usage\\":{\\"prompt_tokens\\":77}"}',
        b'"usage":null}',
        b'"usage":{"prompt_tokens":77},"padding":"' + b" " * TAIL_BYTES + b'"}',  # too far from the end
    ],
)
def test_the_end_of_a_very_long_body_is_not_taken_for_more_than_it_is(end: bytes) -> None:
    body = b'{"data":"' + b"x" * WHOLE_CEILING + b'",' + end
    for size in (len(body), 3_000_000):
        assert read(Meter(WholeBody(), EMBEDDINGS), cut(body, range(size, len(body), size)))[0] is None


def test_a_coded_answer_is_read_like_a_plain_one() -> None:
    for answer in CASSETTES:
        coded = gzip.compress(answer.body)
        assert read(answer.meter("gzip"), cut(coded, range(10, len(coded), 10))) == (answer.reading, answer.finished)
        assert read(answer.meter("unheard-of"), [answer.body]) == (None, False)
