"""The page, without a browser: what it loads, what it asks for, and that its parts fit together."""

import re
from collections import Counter
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import pytest

from billing import reports
from billing.store import DIMENSIONS, fold
from billing.tables import ChargeRow
from proxy.console.offer import PATHS
from proxy.console.server import OPEN_PATHS, WEB

FILES = sorted(path.name for path in WEB.iterdir())
HTML, SCRIPT, STYLE = ((WEB / name).read_text() for name in ("index.html", "page.js", "page.css"))
LINKS = {"a": "href", "link": "href", "script": "src", "img": "src"}


class Page(HTMLParser):
    """The page's elements, and the text inside scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []
        self._open: list[str] = []
        self.feed(HTML)
        self.close()
        assert self._open == [], "elements that are not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "br", "img", "input", "hr"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in {"script", "style"}:
            self.inline.append(data)

    def values(self, name: str) -> list[str]:
        """The values of an attribute, wherever it stands."""
        return [value for _, attributes in self.elements if (value := attributes.get(name))]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page()


# ── it works offline ────────────────────────────────────────────────────────────


def test_everything_the_page_loads_or_links_is_the_console_s_own(page: Page) -> None:
    targets = [attributes[LINKS[tag]] or "" for tag, attributes in page.elements if LINKS.get(tag) in attributes]
    assert len(targets) >= 5
    routes = {f"/web/{name}" for name in FILES} | {"/", "/api/v1/openapi.json"} | OPEN_PATHS
    assert {*targets} <= routes


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_host(name: str) -> None:
    addresses = re.findall(r"(?:https?:)?//[\w\[][\w.\[\]-]*", (WEB / name).read_text())
    hosts = {urlsplit(address).hostname for address in addresses}
    assert hosts <= {"127.0.0.1", "www.w3.org"}  # the address to point an app at; the name of SVG
    assert ("www.w3.org" in hosts) == name.endswith(".svg")


def test_the_style_loads_nothing() -> None:
    assert "url(" not in STYLE
    assert "@import" not in STYLE


# ── it keeps to its content security policy ─────────────────────────────────────


def test_nothing_is_inline(page: Page) -> None:
    assert page.inline == []
    for tag, attributes in page.elements:
        assert tag not in {"style", "base", "form", "iframe", "object", "embed"}
        assert "style" not in attributes
        assert [name for name in attributes if name.startswith("on")] == []
        if tag == "script":
            assert attributes["src"]
            assert attributes["type"] == "module"


@pytest.mark.parametrize(
    "dangerous",
    [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "setAttribute",
        ".style",
        "import",
    ],
)
def test_what_clients_call_things_never_becomes_markup_or_code(dangerous: str) -> None:
    assert dangerous not in SCRIPT


def test_no_number_touches_money() -> None:
    money = SCRIPT[SCRIPT.index("function usd") : SCRIPT.index("function element")]
    assert not re.search(r"Number|parseFloat|toFixed|\* ?100|\bMath\b", money)
    assert "BigInt" in money


def test_the_icon_is_a_drawing_and_nothing_else() -> None:
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring((WEB / "icon.svg").read_text()).iter()}
    assert tags <= {"svg", "rect", "circle", "path", "g"}


# ── its parts fit together ──────────────────────────────────────────────────────


def used_ids() -> set[str]:
    """The ids of the elements that the script writes to."""
    figures = set(re.findall(r'\btotal\("([\w-]+)"', SCRIPT))
    written = set(re.findall(r'\b(?:getElementById|fill)\("([\w-]+)"', SCRIPT))
    return written | figures | {f"{name}-calls" for name in figures}


def test_every_element_the_script_writes_to_is_there_once(page: Page) -> None:
    there = Counter(page.values("id"))
    assert {name for name, times in there.items() if times > 1} == set()
    assert {"status", "empty", "today", "today-calls", "models", "calls"} <= used_ids() <= {*there}


def test_labels_point_at_elements_that_are_there(page: Page) -> None:
    assert {*page.values("aria-labelledby")} <= {*page.values("id")}


def test_the_page_says_its_language_title_and_what_to_do_without_a_script(page: Page) -> None:
    tags = dict(page.elements)
    assert tags["html"]["lang"] == "en"
    assert {"title", "main", "h1", "noscript"} <= {*tags}
    assert dict(page.elements)["main"] is not None
    assert page.values("aria-live") == ["polite"]


def test_every_class_has_a_style(page: Page) -> None:
    used = {name for names in page.values("class") for name in names.split()}
    used |= set(re.findall(r'"(number|marked)"', SCRIPT))
    assert {name for name in used if f".{name}" not in STYLE} <= {"note"}


def test_the_script_asks_the_api_what_it_offers() -> None:
    asked = re.findall(r"\bask\([\"`]([^\"`]+)[\"`]\)", SCRIPT)
    assert len(asked) >= 4
    for question in asked:
        path, query = urlsplit(f"/api/v1/{question}").path, urlsplit(question).query
        offered = {parameter["name"] for parameter in PATHS[path]["get"]["parameters"]}
        given = parse_qs(query.replace("${CALLS}", "50"), keep_blank_values=True)
        assert {*given} <= offered
        assert {name for name in given.get("by", [""])[0].split(",") if name} <= {*DIMENSIONS}


def test_the_script_reads_fields_that_there_are() -> None:
    figures = {*reports.sums(fold([])), *DIMENSIONS}
    charge = {*ChargeRow.model_fields, "cost_usd"}
    sums = SCRIPT[SCRIPT.index("const sums") : SCRIPT.index("const calls")]
    calls = SCRIPT[SCRIPT.index("const calls") : SCRIPT.index("async function ask")]
    total = SCRIPT[SCRIPT.index("function total") : SCRIPT.index("async function refresh")]
    assert set(re.findall(r"\brow\.(\w+)", sums)) <= figures
    assert set(re.findall(r"\bsum\.(\w+)", total)) <= figures
    read = set(re.findall(r"\brow\.(\w+)", calls))
    assert {"started_at", "model", "cost_usd"} <= read <= charge
