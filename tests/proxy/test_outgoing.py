"""A request as it leaves: its head, and the cap that it may be given."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from proxy import asked, endpoints
from proxy import headers as http
from proxy.outgoing import Outgoing
from proxy.rewriting import asking_for_usage

BODY = b'{"model":"gpt-4o",\n "messages":[]}'
HEADERS = [(b"Host", b"api"), (b"content-LENGTH", b"33"), (b"X-A", b"caf\xe9"), (b"x-a", b"2")]


def outgoing(path: str = "/v1/chat/completions", body: bytes = BODY, method: str = "POST") -> Outgoing:
    line = f"{method} {path}? HTTP/1.1".encode()
    return Outgoing(endpoints.find(method, path), asked.read(body), body, line, HEADERS, body, usage_added=False)


def test_its_head_is_its_line_and_its_headers_as_they_are() -> None:
    assert outgoing().head == (
        b"POST /v1/chat/completions? HTTP/1.1\r\nHost: api\r\ncontent-LENGTH: 33\r\nX-A: caf\xe9\r\nx-a: 2\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("path", "field"),
    [("/v1/chat/completions", "max_completion_tokens"), ("/v1/responses", "max_output_tokens")],
)
def test_a_cap_stands_in_the_field_of_its_api(path: str, field: str) -> None:
    sent = outgoing(path)
    capped = sent.capped(77)
    assert isinstance(capped.body, bytes)
    assert json.loads(capped.body) == json.loads(BODY) | {field: 77}
    assert capped.output_cap == 77
    assert http.find(capped.headers, b"content-length") == b"%d" % len(capped.body)
    assert [header for header in capped.headers if header[0].lower() != b"content-length"] == [
        header for header in HEADERS if header[0].lower() != b"content-length"
    ]
    assert capped == replace(sent, body=capped.body, headers=capped.headers, output_cap=77), "all else is as it was"
    assert capped.kept == BODY, "what the app sent is what is counted"
    assert (sent.body, sent.headers, sent.output_cap) == (BODY, HEADERS, None)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings", "/v1/responses/compact", "/v1/new"])
def test_an_api_without_such_a_field_gets_no_cap(path: str) -> None:
    sent = outgoing(path)
    assert sent.capped(77) is sent


def test_a_body_that_streams_through_gets_no_cap() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield BODY

    sent = replace(outgoing(), body=pieces())
    assert sent.capped(77) is sent


def test_a_cap_and_the_wish_for_usage_get_on() -> None:
    stream = b'{"model":"gpt-4o","stream":true,"max_completion_tokens":null}'
    asking = asking_for_usage(stream, has_stream_options=False)
    capped = replace(outgoing(body=stream), body=asking, usage_added=True).capped(77)
    assert capped.usage_added
    assert isinstance(capped.body, bytes)
    assert json.loads(capped.body) == {
        "model": "gpt-4o",
        "stream": True,
        "max_completion_tokens": 77,
        "stream_options": {"include_usage": True},
    }
