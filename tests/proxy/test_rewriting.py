import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import asked
from proxy.rewriting import UsageRemover, asking_for_usage, with_output_cap

# ── asking for usage ────────────────────────────────────────────────────────────

ASKING = b'"stream_options":{"include_usage":true}'


def asking(body: bytes) -> bytes:
    return asking_for_usage(body, asked.read(body).has_stream_options)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # no stream_options: they go in front
        (b'{"stream":true}', b"{" + ASKING + b',"stream":true}'),
        (b"{}", b"{" + ASKING + b"}"),
        (b" {\n }\n", b" {" + ASKING + b"\n }\n"),
        (b'\r\n{ "stream" : true }', b"\r\n{" + ASKING + b', "stream" : true }'),
        # stream_options that are null, empty, or say something else
        (b'{"stream_options":null,"a":1}', b'{"stream_options":{"include_usage":true},"a":1}'),
        (b'{"stream_options" :\tnull }', b'{"stream_options" :\t{"include_usage":true} }'),
        (b'{"stream_options":{}}', b'{"stream_options":{"include_usage":true}}'),
        (b'{"stream_options":{ }}', b'{"stream_options":{"include_usage":true }}'),
        (
            b'{"stream_options":{"include_obfuscation":false}}',
            b'{"stream_options":{"include_usage":true,"include_obfuscation":false}}',
        ),
        # include_usage that does not ask
        (b'{"stream_options":{"include_usage":false}}', b'{"stream_options":{"include_usage":true}}'),
        (b'{"stream_options":{"include_usage" : null, "x":1}}', b'{"stream_options":{"include_usage" : true, "x":1}}'),
        (b'{"stream_options":{"include_usage":{"a":[]}}}', b'{"stream_options":{"include_usage":true}}'),
        # of two members of a name the last one counts
        (
            b'{"stream_options":{"include_usage":true},"stream_options":null}',
            b'{"stream_options":{"include_usage":true},"stream_options":{"include_usage":true}}',
        ),
        (
            b'{"stream_options":{"include_usage":true,"include_usage":false}}',
            b'{"stream_options":{"include_usage":true,"include_usage":true}}',
        ),
        # what only looks like it, inside
        (
            b'{"tools":[{"stream_options":null}],"messages":["\\"stream_options\\":null"]}',
            b"{" + ASKING + b',"tools":[{"stream_options":null}],"messages":["\\"stream_options\\":null"]}',
        ),
        (
            b'{"metadata":{"stream_options":null},"stream_options":{"x":{"include_usage":false}}}',
            b'{"metadata":{"stream_options":null},"stream_options":{"include_usage":true,"x":{"include_usage":false}}}',
        ),
        (b'{"a":"stream_options","b":null}', b"{" + ASKING + b',"a":"stream_options","b":null}'),
        # what OpenAI will refuse stays as it is, and so does a name that is written with escapes
        (b'{"stream_options":[1]}', b'{"stream_options":[1]}'),
        (b'{"stream_options":"include_usage"}', b'{"stream_options":"include_usage"}'),
        (b'{"stream\\u005foptions":{"a":1}}', b'{"stream\\u005foptions":{"a":1}}'),
    ],
)
def test_asks_for_usage_and_touches_nothing_else(body: bytes, expected: bytes) -> None:
    assert asking(body) == expected


NAMES = st.sampled_from(["stream_options", "include_usage", "usage", "messages", "a", "ö", "", '"', "\\", "{", "}"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(['"stream_options":null', "stream_options", "include_usage", "\\", '\\"', "{[", "]}", "a:b,c"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
SPACE = st.sampled_from(["", "", "", " ", "\n  ", "\t", "\r\n", " \n "])


@st.composite
def texts(draw: st.DrawFn, value: Any) -> str:
    """A JSON value in one of its spellings."""
    return json.dumps(
        value,
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, None, 2])),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :\n")])),
    )


OTHER = st.tuples(st.sampled_from(["model", "messages", "tools", "stream", "metadata", "x"]), JSON.flatmap(texts))
Edited = tuple[str, str]
"""A text, and what it shall become."""


@st.composite
def objects(draw: st.DrawFn, name: str, values: st.SearchStrategy[Edited], added: str) -> Edited:
    """An object with the member `name` never, once or twice among others; the last one is edited, or one added."""
    members = [(other, value, value) for other, value in draw(st.lists(OTHER, max_size=3))]
    places = sorted(draw(st.lists(st.integers(0, len(members)), max_size=2)), reverse=True)
    for number, place in enumerate(places):
        old, new = draw(values)
        members.insert(place, (name, old, old if number else new))
    before, after = [], []
    for own, old, new in members:
        start = f'{draw(SPACE)}"{own}"{draw(SPACE)}:{draw(SPACE)}'
        end = draw(SPACE)
        before.append(start + old + end)
        after.append(start + new + end)
    if not members:
        space = draw(SPACE)
        return f"{{{space}}}", f"{{{added}{space}}}"
    front = "" if places else f"{added},"
    return f"{{{','.join(before)}}}", f"{{{front}{','.join(after)}}}"


USAGE = '"include_usage":true'
NOT_ASKING = JSON.filter(lambda value: value is not True).flatmap(texts).map(lambda text: (text, "true"))
OPTIONS = st.just(("null", f"{{{USAGE}}}")) | objects("include_usage", NOT_ASKING, USAGE)


@given(objects("stream_options", OPTIONS, ASKING.decode()), SPACE, SPACE)
def test_whatever_the_body_only_the_option_changes(body: Edited, before: str, after: str) -> None:
    old, new = (f"{before}{text}{after}".encode() for text in body)
    assert asking(old) == new
    meant = json.loads(old)
    meant["stream_options"] = (meant.get("stream_options") or {}) | {"include_usage": True}
    assert json.loads(new) == meant
    assert asked.read(new).include_usage


# ── an output cap ───────────────────────────────────────────────────────────────

CAP = '"max_output_tokens":256'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", b'{"max_output_tokens":256}'),
        (b" {\n }\r\n", b' {\n "max_output_tokens":256}\r\n'),
        (b'{"a":1}', b'{"a":1,"max_output_tokens":256}'),
        (b'{"a":{}\n}', b'{"a":{}\n,"max_output_tokens":256}'),
        # null is none
        (b'{"max_output_tokens":null,"a":1}', b'{"max_output_tokens":256,"a":1}'),
        (b'{ "max_output_tokens" :\tnull }', b'{ "max_output_tokens" :\t256 }'),
        (b'{"max_output_tokens":1,"max_output_tokens":null}', b'{"max_output_tokens":1,"max_output_tokens":256}'),
        # what only looks like it
        (b'{"a":{"max_output_tokens":null}}', b'{"a":{"max_output_tokens":null},"max_output_tokens":256}'),
        (b'{"a":"max_output_tokens"}', b'{"a":"max_output_tokens","max_output_tokens":256}'),
        (b'{"a":"}","b":"{"}', b'{"a":"}","b":"{","max_output_tokens":256}'),
        # a name that is written with escapes has not the last word
        (b'{"max\\u005foutput_tokens":null}', b'{"max\\u005foutput_tokens":null,"max_output_tokens":256}'),
        (
            b'{"max_output_tokens":null,"max\\u005foutput_tokens":null}',
            b'{"max_output_tokens":null,"max\\u005foutput_tokens":null,"max_output_tokens":256}',
        ),
    ],
)
def test_a_cap_is_set_and_nothing_else_touched(body: bytes, expected: bytes) -> None:
    assert with_output_cap(body, "max_output_tokens", 256) == expected
    assert asked.read(expected).wanted.max_output_tokens == 256


@st.composite
def uncapped(draw: st.DrawFn) -> Edited:
    """An object in which the cap is missing, or null once or twice; and the same with a cap."""
    spelled = JSON.flatmap(texts).filter(lambda text: "\\u00" not in text)
    others = draw(st.lists(st.tuples(st.sampled_from(["model", "input", "max_tokens", "x"]), spelled), max_size=3))
    members = [(other, value, value) for other, value in others]
    places = sorted(draw(st.lists(st.integers(0, len(members)), max_size=2)), reverse=True)
    for number, place in enumerate(places):
        members.insert(place, ("max_output_tokens", "null", "null" if number else "256"))
    spaces = [[draw(SPACE) for _ in range(4)] for _ in members]
    before, after = (
        ",".join(
            f'{one}"{member[0]}"{two}:{three}{member[which]}{four}'
            for member, (one, two, three, four) in zip(members, spaces, strict=True)
        )
        for which in (1, 2)
    )
    if places:
        return f"{{{before}}}", f"{{{after}}}"
    comma = "," if members else ""
    return f"{{{before}}}", f"{{{after}{comma}{CAP}}}"


@given(uncapped(), SPACE, SPACE)
def test_whatever_the_body_only_the_cap_changes(body: Edited, before: str, after: str) -> None:
    old, new = (f"{before}{text}{after}".encode() for text in body)
    assert with_output_cap(old, "max_output_tokens", 256) == new
    assert json.loads(new) == json.loads(old) | {"max_output_tokens": 256}


@given(st.dictionaries(NAMES | st.sampled_from(["max_output_tokens"]), JSON, max_size=4).flatmap(texts))
def test_any_object_has_its_cap_in_the_end(body: str) -> None:
    """Also one whose field says something that is no cap, and whatever is escaped in it."""
    capped = with_output_cap(body.encode(), "max_output_tokens", 256)
    assert json.loads(capped) == json.loads(body) | {"max_output_tokens": 256}


# ── and undoing it ──────────────────────────────────────────────────────────────

USED: dict[str, Any] = {"prompt_tokens": 9, "completion_tokens": 3, "details": {"usage": None, "cached": 0}}
CONTENTS = st.sampled_from([
    "", "Hi", 'Beware: "usage":null, is text', '{"choices":[],"usage":{"prompt_tokens":9}}', "usage", '"usage"', "\\",
    '\\"usage\\":null', "data: [DONE]\n\n", "切符\r\n\r\n🚋", ',"usage":null}', "a\n\nb",
])  # fmt: skip
CHOICE = st.one_of(
    st.builds(lambda text: {"index": 0, "delta": {"content": text}, "finish_reason": None}, CONTENTS),
    st.just({"index": 0, "delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": 1}}),
    st.just({"index": 0, "delta": {"usage": None}, "finish_reason": None}),
)
FIELDS = st.fixed_dictionaries(
    {"id": st.just("chatcmpl-1"), "choices": st.lists(CHOICE, max_size=2)},
    optional={
        "object": st.just("chat.completion.chunk"),
        "created": st.just(1_795_000_000),
        "obfuscation": st.sampled_from(["aZ", "usage", ""]),
        "prompt_filter_results": st.just([{"usage": None}, {"usage": {}}]),
        "system_fingerprint": st.none(),
    },
)


@st.composite
def chunks(draw: st.DrawFn) -> tuple[str, str]:
    """A chunk as it comes when usage was asked for, and as it comes when not."""
    fields = draw(st.permutations(list(draw(FIELDS).items())))
    used = draw(st.sampled_from([None, None, None, USED]))
    if used and not dict(fields)["choices"]:
        used = None
    place = draw(st.integers(0, len(fields)))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    ascii_only = draw(st.booleans())
    asked_for, plain = (
        json.dumps(dict(members), separators=separators, ensure_ascii=ascii_only)
        for members in ([*fields[:place], ("usage", used), *fields[place:]], fields)
    )
    return asked_for, plain


@st.composite
def others(draw: st.DrawFn) -> tuple[str, str]:
    """What is no chunk, or one that nothing was added to: it passes."""
    text = draw(st.one_of(
        chunks().map(lambda pair: pair[1]),
        st.just('{"error":{"message":"The server had an error","usage":null}}'),
        st.just('{"choices":[]}'),
        st.just("[DONE]"),
        st.just('{"usage": not JSON}'),
        st.just('"usage":null'),
    ))  # fmt: skip
    return text, text


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """The events of a stream when usage was asked for, and when not."""
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    head = draw(st.sampled_from(["data: ", "data: ", "data:"]))
    kind = draw(st.sampled_from(["", "", f"event: usage{end}", f": keep-alive{end}"])) if end != "\r" else ""
    pairs = draw(st.lists(chunks() | others(), max_size=6))
    if draw(st.booleans()):
        pairs.append((json.dumps({"id": "chatcmpl-1", "choices": [], "usage": USED}), ""))
    pairs.append(("[DONE]", "[DONE]"))

    def event(payload: str) -> bytes:
        return f"{kind}{head}{payload}{end}{end}".encode() if payload else b""

    return [event(asked_for) for asked_for, _ in pairs], [event(plain) for _, plain in pairs]


def fed(stream: bytes, cuts: list[int]) -> bytes:
    """What the remover lets pass of a stream that comes in pieces."""
    remover = UsageRemover()
    places = [0, *sorted({cut % (len(stream) + 1) for cut in cuts}), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    return b"".join(map(remover.feed, pieces)) + remover.close()


CUTS = st.lists(st.integers(0, 5000), max_size=12)


@given(streams(), CUTS)
def test_the_app_sees_the_stream_it_asked_for(stream: tuple[list[bytes], list[bytes]], cuts: list[int]) -> None:
    asked_for, plain = map(b"".join, stream)
    assert fed(asked_for, cuts) == plain


@given(streams())
def test_one_byte_or_one_event_at_a_time(stream: tuple[list[bytes], list[bytes]]) -> None:
    asked_for, plain = stream
    whole = b"".join(asked_for)
    assert fed(whole, list(range(len(whole)))) == b"".join(plain)
    remover = UsageRemover()
    assert b"".join(map(remover.feed, asked_for)) + remover.close() == b"".join(plain)


@given(streams(), CUTS, st.integers(0, 5000))
def test_a_stream_that_breaks_off(stream: tuple[list[bytes], list[bytes]], cuts: list[int], at: int) -> None:
    """Whole events are as they were meant; of the broken one the app sees the bytes, or nothing."""
    asked_for, plain = stream
    broken = b"".join(asked_for)[: at % (sum(map(len, asked_for)) + 1)]
    passed = fed(broken, cuts)
    whole, count = b"", 0
    while count < len(asked_for) and len(whole) + len(asked_for[count]) <= len(broken):
        whole += asked_for[count]
        count += 1
    meant = b"".join(plain[:count])
    assert passed.startswith(meant)
    rest = broken[len(whole) :]
    next_plain = plain[count] if count < len(plain) else b""
    assert passed[len(meant) :] == rest or next_plain.startswith(passed[len(meant) :])


def test_an_event_passes_as_soon_as_it_is_whole() -> None:
    remover = UsageRemover()
    assert remover.feed(b'data: {"a":1,"us') == b""
    assert remover.feed(b'age":null}\n') == b""
    assert remover.feed(b'\ndata: {"b"') == b'data: {"a":1}\n\n'
    assert remover.close() == b'data: {"b"'


@pytest.mark.parametrize("size", [1000, 2**16 - 1, 2**20])
def test_an_event_that_does_not_end_passes_on_and_what_comes_after_it_is_rewritten(size: int) -> None:
    long = b'data: {"usage":null,"a":"' + b"x" * 3 * 2**20 + b'"}'
    stream = b'data: {"usage":null}\n\n' + long + b'\n\ndata: {"usage":null}\n\n'
    remover, passed, most = UsageRemover(), bytearray(), 0
    for start in range(0, len(stream), size):
        passed += remover.feed(stream[start : start + size])
        most = max(most, min(start + size, len(stream)) - len(passed))
    assert bytes(passed) + remover.close() == b"data: {}\n\n" + long + b"\n\ndata: {}\n\n"
    assert most <= 2**20 + 20, "no more is kept back"


@pytest.mark.parametrize(
    ("event", "passes"),
    [
        (b'data: {"usage":null}\n\n', b"data: {}\n\n"),
        (b'data: {"id":1,"usage":{"prompt_tokens":1}}\n\n', b'data: {"id":1}\n\n'),  # choices are not said
        (b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n', b""),
        (b'data: {"choices":[{}],"usage":{"prompt_tokens":1}}\n\n', b'data: {"choices":[{}]}\n\n'),
        (b'data: {"choices":[],"usage":null,"a":{"usage":null}}\n\n', b'data: {"choices":[],"a":{"usage":null}}\n\n'),
        (b'data: {"a":{"usage":null},"choices":[]}\n\n', b'data: {"a":{"usage":null},"choices":[]}\n\n'),
        (b'data: {"a":"\\"usage\\":null"}\n\n', b'data: {"a":"\\"usage\\":null"}\n\n'),
        (b': "usage":null\n\n', b': "usage":null\n\n'),
    ],
)
def test_what_is_taken_out_and_what_is_left(event: bytes, passes: bytes) -> None:
    assert fed(event, []) == passes
