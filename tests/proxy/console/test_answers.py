import asyncio
import json
from io import BytesIO
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from proxy.console.answers import BODY_CEILING_BYTES, bad_request, json_answer, json_body, refused


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    size: int = 0


def put(data: Any, content_type: str = "application/json") -> tuple[int, Any]:
    """What is answered to a body: the status and the JSON."""

    async def handler(request: web.Request) -> web.Response:
        return json_answer(await json_body(request, Shape), 201)

    async def scenario() -> tuple[int, Any]:
        application = web.Application()
        application.add_routes([web.put("/", handler)])
        async with (
            TestClient(TestServer(application)) as client,
            client.put("/", data=data, headers={"Content-Type": content_type}) as answer,
        ):
            assert answer.content_type == "application/json"
            return answer.status, await answer.json()

    return asyncio.run(scenario())


async def without_its_length(size: int) -> Any:
    yield b'{"name":"' + b"x" * size + b'"}'


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_a_json_body_is_read(content_type: str) -> None:
    assert put(b'{"name":"a"}', content_type) == (201, {"name": "a", "size": 0})


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_another_site_s_page_can_send_unasked_is_not_read(content_type: str) -> None:
    status, body = put(b'{"name":"a"}', content_type)
    assert status == 415
    assert "Content-Type: application/json" in body["error"]["message"]


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'"a"', b"null", b"{}", b'{"name":1}', b'{"name":"a","more":1}', b'{"name":"\xff"}',
            b"[" * 10_000],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_refused(raw: bytes) -> None:
    status, body = put(raw)
    assert status == 400
    assert body["error"]["message"].startswith("the body is not what is expected here: ")


@pytest.mark.parametrize("size", [BODY_CEILING_BYTES, 2**21])
@pytest.mark.parametrize("says_its_length", [True, False])
def test_a_body_is_bounded(size: int, says_its_length: bool) -> None:
    status, body = put(BytesIO(b'{"name":"' + b"x" * size + b'"}') if says_its_length else without_its_length(size))
    assert (status, body["error"]["message"]) == (413, f"the body is larger than {BODY_CEILING_BYTES} bytes")


def test_the_largest_body_is_read() -> None:
    assert put(b'{"name":"a"}' + b" " * (BODY_CEILING_BYTES - 12))[0] == 201


def test_a_refusal_says_why_in_json() -> None:
    for refusal, status in ((bad_request('no "such" thing'), 400), (refused(web.HTTPNotFound, "none"), 404)):
        assert (refusal.status, refusal.content_type) == (status, "application/json")
    assert json.loads(bad_request('no "such" thing').text or "") == {"error": {"message": 'no "such" thing'}}
