import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import headers as http
from proxy.headers import HOP_BY_HOP, end_to_end, find, head, replaced, text, without_own

Pairs = list[tuple[bytes, bytes]]

SENT: Pairs = [
    (b"Host", b"farebox"),
    (b"X-Twice", b"1"),
    (b"authorization", b"Bearer sk-1"),
    (b"x-tWice", b"2"),
    (b"X-Latin", b"caf\xe9"),
    (b"X-Empty", b""),
    (b"X-Twice", b"1"),
]

SPELLINGS = st.sampled_from(
    [
        b"X-A",
        b"x-a",
        b"X-B",
        b"Content-Type",
        b"TE",
        b"te",
        b"Keep-Alive",
        b"Upgrade",
        b"x-farebox-tag-a",
        b"X-FAREBOX-ID",
    ]
)
HEADERS = st.lists(
    st.tuples(SPELLINGS, st.binary(max_size=5))
    | st.tuples(
        st.sampled_from([b"Connection", b"connection"]),
        st.lists(SPELLINGS | st.just(b"close"), max_size=3).map(b" , ".join),
    ),
    max_size=10,
)


def test_end_to_end_headers_keep_order_spelling_and_repeats() -> None:
    assert end_to_end(SENT) == SENT


@pytest.mark.parametrize(
    "name",
    [
        # RFC 9110 §7.6.1, and what it obsoletes
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        # what a proxy is asked for itself, and what the side that reads the body answers
        *(b"proxy-authenticate", b"proxy-authorization", b"expect"),
    ],
)
@pytest.mark.parametrize("spelled", [bytes.lower, bytes.upper, bytes.title])
def test_headers_of_one_connection_do_not_cross(name: bytes, spelled: "type[bytes.lower]") -> None:
    assert end_to_end([*SENT, (spelled(name), b"x")]) == SENT


@pytest.mark.parametrize(
    "connection",
    [
        [(b"Connection", b"close, X-Mine")],
        [(b"connection", b"X-MINE")],
        [(b"Connection", b" , x-mine ,")],
        [(b"Connection", b"keep-alive"), (b"Connection", b"x-mine")],
    ],
)
def test_headers_that_connection_names_do_not_cross(connection: Pairs) -> None:
    assert end_to_end([(b"X-Mine", b"1"), *SENT, *connection, (b"x-mine", b"2")]) == SENT


def test_the_caller_names_more_that_do_not_cross() -> None:
    assert end_to_end(SENT, (b"host", b"x-twice")) == [SENT[2], SENT[4], SENT[5]]


@given(HEADERS)
def test_what_crosses_is_part_of_what_came_and_crosses_again(headers: Pairs) -> None:
    crossed = end_to_end(headers)
    rest = iter(headers)
    assert all(header in rest for header in crossed)  # the same ones, in the same order
    assert end_to_end(crossed) == crossed
    named = {
        token.strip().lower() for name, value in headers if name.lower() == b"connection" for token in value.split(b",")
    }
    stays = {name.lower() for name, _ in headers} - HOP_BY_HOP - named
    assert {name.lower() for name, _ in crossed} == stays


def test_farebox_s_own_headers_are_taken_out() -> None:
    own: Pairs = [(b"X-Farebox-Tag-Team", b"a"), (b"x-farebox-id", b"b"), (b"X-FAREBOX-", b"c")]
    other: Pairs = [(b"X-Fareboxer", b"d"), (b"Farebox-Id", b"e")]
    assert without_own([own[0], *SENT, *own[1:], *other]) == [*SENT, *other]


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"x-twice", b"1"), (b"authorization", b"Bearer sk-1"), (b"x-empty", b""), (b"x-none", None), (b"x-twic", None)],
)
def test_the_first_value_of_a_header_is_found(name: bytes, value: bytes | None) -> None:
    assert find(SENT, name) == value


def test_a_value_as_text_never_fails() -> None:
    assert text(SENT, b"x-twice") == "1"
    assert text(SENT, b"x-latin") == "caf\N{REPLACEMENT CHARACTER}"
    assert text([(b"A", "✓".encode())], b"a") == "✓"
    assert text(SENT, b"x-none") is None


@pytest.mark.parametrize(
    ("headers", "becomes"),
    [
        ([], [(b"a", b"new")]),
        ([(b"B", b"1")], [(b"B", b"1"), (b"a", b"new")]),
        ([(b"A", b"1"), (b"B", b"2")], [(b"A", b"new"), (b"B", b"2")]),
        ([(b"B", b"1"), (b"a", b"2"), (b"C", b"3"), (b"A", b"4")], [(b"B", b"1"), (b"a", b"new"), (b"C", b"3")]),
    ],
)
def test_a_header_is_replaced_in_its_place(headers: Pairs, becomes: Pairs) -> None:
    assert replaced(headers, b"a", b"new") == becomes


def test_the_head_of_a_message() -> None:
    assert head(b"GET / HTTP/1.1", [(b"Host", b"a"), (b"X", b"")]) == b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n"
    assert head(b"HTTP/1.1 204 No Content", []) == b"HTTP/1.1 204 No Content\r\n\r\n"


def test_names_to_look_for_are_in_lower_case() -> None:
    assert all(name == name.lower() for name in (*HOP_BY_HOP, http.OWN))
