"""Moderation of training examples, against an endpoint that flags, refuses and limits as it is told."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moderations import Moderations, moderations
from openai import AsyncOpenAI

from proxy.moderating import (
    CHARACTERS_A_REQUEST,
    CHARACTERS_A_TEXT,
    MOST_ATTEMPTS,
    NOT_SCREENED,
    TEXTS_A_REQUEST,
    Flagged,
    Line,
    ModerationFailed,
    Moderator,
    Portion,
    Progress,
    Screened,
    digest_upto,
    portions,
)

LIMITED: dict[str, Any] = {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}


@pytest.fixture
def endpoint() -> Iterator[Moderations]:
    with moderations() as known:
        yield known


def chat(*texts: str) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text} for text in texts]}).encode()


def lines(*texts: str) -> list[Line]:
    return [(number, chat(text)) for number, text in enumerate(texts, 1)]


def screened(endpoint: Moderations, given: list[Portion], at_once: int = 4) -> tuple[list[Screened], list[float]]:
    """What was found, and how long was waited."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async def scenario() -> list[Screened]:
        async with AsyncOpenAI(api_key="sk-test", base_url=f"{endpoint.url}/v1", max_retries=0) as client:
            return [found async for found in Moderator(client, at_once, sleep).screen(given)]

    return asyncio.run(scenario()), waited


def flagged(found: list[Screened]) -> list[Flagged]:
    return [one for screen in found for one in screen.flagged]


def test_examples_that_are_likely_to_be_blocked_are_named_with_their_categories(endpoint: Moderations) -> None:
    given = [*portions([*lines("calm", "hate", "calm"), (4, chat("violence", "calm", "hate")), (5, chat("calm"))])]
    found, waited = screened(endpoint, given)
    assert flagged(found) == [Flagged(2, ("hate",), 0.9), Flagged(4, ("hate", "violence"), 0.9)]
    assert (sum(one.examples for one in found), found[-1].upto, waited) == (5, 5, [])
    assert len(endpoint.asked) == 1


def test_results_come_in_the_files_order_with_several_requests_at_once(endpoint: Moderations) -> None:
    texts = ["hate" if number % 7 == 0 else "calm" for number in range(1, 20 * TEXTS_A_REQUEST + 1)]
    found, _ = screened(endpoint, [*portions(lines(*texts))])
    assert [one.upto for one in found] == [TEXTS_A_REQUEST * (part + 1) for part in range(20)]
    assert [one.line for one in flagged(found)] == [*range(7, len(texts) + 1, 7)]
    assert len(endpoint.asked) == 20


def test_portions_are_bounded_and_end_with_a_line() -> None:
    given = [*portions(lines(*["x"] * (2 * TEXTS_A_REQUEST + 3)))]
    assert [len(one.texts) for one in given] == [TEXTS_A_REQUEST, TEXTS_A_REQUEST, 3]
    assert [one.upto for one in given] == [32, 64, 67]
    long = [*portions(lines(*["x" * (CHARACTERS_A_REQUEST // 2)] * 4))]
    assert [one.upto for one in long] == [2, 4]


def test_long_texts_are_screened_in_parts_and_long_examples_in_several_requests(endpoint: Moderations) -> None:
    text = "calm " * CHARACTERS_A_TEXT
    found, _ = screened(endpoint, [*portions([(1, chat(text, "hate"))])])
    assert flagged(found) == [Flagged(1, ("hate",), 0.9)]
    assert max(map(len, endpoint.texts)) == CHARACTERS_A_TEXT
    assert sum(map(len, endpoint.texts)) == len(text) + 4
    assert all(sum(map(len, asked)) <= CHARACTERS_A_REQUEST for asked in endpoint.asked)


def test_what_is_no_example_is_left_out_and_counted_as_seen(endpoint: Moderations) -> None:
    given = [*portions([(1, b"{"), (2, chat("hate")), (3, b""), (4, 10**9), (5, b'{"messages": 7}')])]
    found, _ = screened(endpoint, given)
    assert [(one.upto, one.examples, [flag.line for flag in one.flagged]) for one in found] == [(5, 2, [2])]
    assert [*portions([])] == []


def test_images_go_one_by_one_and_one_that_cannot_be_read_is_told(endpoint: Moderations) -> None:
    def picture(url: str) -> dict[str, Any]:
        return {"type": "image_url", "image_url": {"url": url}}

    fields = {
        "messages": [{"role": "user", "content": [picture("https://x/sexual.png"), picture("https://x/calm.png")]}]
    }
    bad = {"messages": [{"role": "user", "content": [picture("https://x/unreadable.png")]}]}
    found, _ = screened(endpoint, [*portions([(1, json.dumps(fields).encode()), (2, json.dumps(bad).encode())])])
    assert flagged(found) == [Flagged(1, ("sexual",), 0.9), Flagged(2, (NOT_SCREENED,), 0.0)]
    assert [len(asked) for asked in endpoint.asked] == [1, 1, 1]


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [(429, {"retry-after-ms": "1500", "retry-after": "2"}, 1.5), (429, {"retry-after": "7"}, 7.0), (429, {}, 1.0),
     (503, {}, 1.0), (429, {"retry-after": "soon"}, 1.0)],
)  # fmt: skip
def test_after_a_limit_or_an_error_it_waits_and_asks_again(
    endpoint: Moderations, status: int, headers: dict[str, str], waits: float
) -> None:
    endpoint.first = [(status, headers, LIMITED)]
    found, waited = screened(endpoint, [*portions(lines("hate"))])
    assert (len(flagged(found)), waited) == (1, [waits])


def test_a_limit_makes_all_wait_once(endpoint: Moderations) -> None:
    endpoint.first = [(429, {"retry-after": "3"}, LIMITED)] * 4
    found, waited = screened(endpoint, [*portions(lines(*["calm"] * 4 * TEXTS_A_REQUEST))])
    assert len(found) == 4
    assert waited
    assert {*waited} == {3.0}
    assert len(endpoint.asked) == 4


@pytest.mark.parametrize(
    ("status", "headers", "error", "text"),
    [
        (401, {}, {"message": "Incorrect API key", "type": "invalid_request_error"}, "Incorrect API key"),
        (429, {}, {"message": "no money", "type": "insufficient_quota", "code": "insufficient_quota"}, "no money"),
        (429, {"retry-after": "86400"}, LIMITED, "Rate limit reached"),
        (400, {}, {"message": "too large", "type": "invalid_request_error"}, "too large"),
    ],
)
def test_what_waiting_does_not_help_ends_it_with_one_line(
    endpoint: Moderations, status: int, headers: dict[str, str], error: dict[str, str], text: str
) -> None:
    endpoint.first = [(status, headers, error)]
    with pytest.raises(ModerationFailed, match=text) as failed:
        screened(endpoint, [*portions(lines("calm"))])
    assert "\n" not in str(failed.value)


def test_errors_are_not_tried_again_for_ever(endpoint: Moderations) -> None:
    endpoint.first = [(500, {}, {"message": "broken"})] * MOST_ATTEMPTS
    with pytest.raises(ModerationFailed, match="500"):
        screened(endpoint, [*portions(lines("calm"))])
    assert endpoint.first == []


def test_an_endpoint_that_is_not_there() -> None:
    nowhere = Moderations(url="http://127.0.0.1:1")
    with pytest.raises(ModerationFailed, match="Connection error"):
        screened(nowhere, [*portions(lines("calm"))])


def test_a_record_is_gone_on_with(endpoint: Moderations, tmp_path: Path) -> None:
    data = lines(*["calm", "hate"] * TEXTS_A_REQUEST)
    progress = Progress(tmp_path / "record")
    assert progress.load() == []
    first, second = portions(data)
    progress.begin([])
    done, _ = screened(endpoint, [first])
    progress.add(done[0])
    loaded = progress.load()
    assert loaded == done
    assert digest_upto(data, loaded[-1].upto) == loaded[-1].digest
    assert [*portions(data, loaded[-1].upto)] == [second]
    progress.end()
    progress.end()
    assert not progress.path.exists()


def test_another_file_has_another_digest() -> None:
    data = lines("a", "b", "c")
    assert digest_upto(data, 2) == digest_upto(lines("a", "b", "x"), 2) != digest_upto(lines("a", "x", "c"), 2)
    assert digest_upto(data, 2) != digest_upto(data, 3)


def test_a_record_that_was_cut_off_in_the_middle_holds_what_came_before(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "record")
    whole = Screened(3, "d", 3, (Flagged(2, ("hate",), 0.5),))
    progress.begin([whole])
    with progress.path.open("ab") as file:
        file.write(b'{"upto": 9, "dig')
    assert progress.load() == [whole]


def test_no_text_is_kept(tmp_path: Path, endpoint: Moderations) -> None:
    progress = Progress(tmp_path / "record")
    progress.begin([])
    for found in screened(endpoint, [*portions(lines("a canary of hate"))])[0]:
        progress.add(found)
    assert b"canary" not in progress.path.read_bytes()
    assert b"hate" in progress.path.read_bytes()
