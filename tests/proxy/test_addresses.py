"""Addresses of alerts; where to listen and what is upstream is tested with the settings that are made of them."""

import json

import pytest

from proxy.addresses import apprise_urls, apprise_urls_by_team, host_of, web_address


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("", ()),
        (" , ", ()),
        ("slack://a/b/c", ("slack://a/b/c",)),
        ("slack://a,json://h/x", ("slack://a", "json://h/x")),
        ("slack://a , json://h ,", ("slack://a", "json://h")),
        ("mailto://u:p@h?to=a@b.c,d@e.f,json://h", ("mailto://u:p@h?to=a@b.c,d@e.f", "json://h")),
        ("json://h/a,b,c", ("json://h/a,b,c",)),
        ("sms+x://1,2,3", ("sms+x://1,2,3",)),
    ],
)
def test_several_urls_that_may_hold_commas(text: str, urls: tuple[str, ...]) -> None:
    assert apprise_urls(text) == urls


@pytest.mark.parametrize(
    "text", ["canary", "canary,json://h", "://canary", "json://", "json://a canary", "1x://canary"]
)
def test_what_is_no_url_is_refused_unquoted(text: str) -> None:
    with pytest.raises(ValueError, match="must be Apprise URLs") as raised:
        apprise_urls(text)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "teams"),
    [
        ({}, {}),
        ({"search": "json://a,b,slack://c"}, {"search": ("json://a,b", "slack://c")}),
        ({"search": ["json://a", "slack://c"], "the ads": []}, {"search": ("json://a", "slack://c"), "the ads": ()}),
    ],
)
def test_urls_by_team(given: object, teams: object) -> None:
    assert apprise_urls_by_team(json.dumps(given)) == teams


@pytest.mark.parametrize(
    "text", ["", "canary", "[]", '"canary"', '{"a": 1}', '{"a": {"b": "json://canary"}}', "[" * 99999]
)
def test_what_is_no_table_of_teams_is_refused_unquoted(text: str) -> None:
    with pytest.raises(ValueError, match="must be a table of teams") as raised:
        apprise_urls_by_team(text)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("text", ["http://h:9093", "https://h/alerts/", "http://[::1]:9093"])
def test_a_web_address(text: str) -> None:
    assert web_address(text) == text.rstrip("/")


@pytest.mark.parametrize(
    "text", ["h:9093", "ftp://h", "http://", "http://u:canary@h", "http://h?a=1", "http://h#x", "http://a b"]
)
def test_what_is_no_web_address(text: str) -> None:
    with pytest.raises(ValueError, match="must be an address") as raised:
        web_address(text)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://api.openai.com", "api.openai.com"),
        ("https://EU.api.OpenAI.com:443", "eu.api.openai.com"),
        ("http://[::1]:9090", "::1"),
        ("http://127.0.0.1:8000", "127.0.0.1"),
    ],
)
def test_the_host_of_an_origin(origin: str, host: str) -> None:
    assert host_of(origin) == host
