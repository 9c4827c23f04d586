"""The page, without a browser: what it loads, what it asks for, and that its parts fit together."""

import hashlib
import re
from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import pytest

from billing import reports, scopes
from billing.alert_log import AlertRow
from billing.assumptions import MEANINGS
from billing.budgets import ALERT_PERCENTS, Budget, Position
from billing.definitions import MODES, limit_shown, position_shown
from billing.keys import Key, shown
from billing.limits import Limit
from billing.price_rows import history, listed
from billing.price_sources import price_book
from billing.prices import TIERS
from billing.store import DIMENSIONS, fold
from billing.tables import ChargeRow
from billing.training_files import METHODS
from billing.windows import BUDGET_WINDOWS
from proxy.console.offer import PATHS
from proxy.console.server import OPEN_PATHS, WEB

FILES = sorted(path.name for path in WEB.iterdir() if path.is_file())
VENDORED = WEB / "vendor"
HTML, STYLE = ((WEB / name).read_text() for name in ("index.html", "page.css"))
SCRIPTS = {path.stem: path.read_text() for path in WEB.glob("*.js")}
SCRIPT = "".join(SCRIPTS.values())
VIEWS = ("spend", "explore", "budgets", "keys", "limits", "prices", "finetune", "alerts", "health")
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
    vendored = {f"/web/vendor/{path.name}" for path in VENDORED.iterdir()}
    routes = {f"/web/{name}" for name in FILES} | vendored | {"/", "/api/v1/openapi.json"} | OPEN_PATHS
    assert {target for target in targets if not target.startswith("#")} <= routes
    assert {target for target in targets if target.startswith("#")} == {f"#{view}" for view in VIEWS}
    imported = re.findall(r'^import [^;]* from "([^"]+)";$', SCRIPT, re.MULTILINE)
    ours = {f"./{name}" for name in FILES if name.endswith(".js")} - {"./page.js", "./login.js"}
    assert {*imported} == ours | {"./vendor/uPlot.esm.js"}


def test_what_others_wrote_is_unchanged_and_under_its_licence() -> None:
    told = dict(re.findall(r"^\| `([^`]+)` \| (\w{64}) \|$", (VENDORED / "README.md").read_text(), re.MULTILINE))
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDORED.iterdir()}
    assert there.pop("README.md")
    assert there == told
    assert "Permission is hereby granted, free of charge" in (VENDORED / "LICENSE").read_text()
    code = (VENDORED / "uPlot.esm.js").read_text()
    assert not re.search(r"\bfetch\(|XMLHttpRequest|sendBeacon|WebSocket|\bimport\b|\beval\(|Function\(", code)
    assert "url(" not in (VENDORED / "uPlot.min.css").read_text()


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
        assert tag not in {"style", "base", "iframe", "object", "embed"}
        assert "style" not in attributes
        assert [name for name in attributes if name.startswith("on")] == []
        if tag == "form":  # the policy lets none be sent: the script sends what they say
            assert not {"action", "method", "target"} & {*attributes}
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
        "new Function",
        "setAttribute",
        ".style",
        "import(",
        "createElementNS",
    ],
)
def test_what_clients_call_things_never_becomes_markup_or_code(dangerous: str) -> None:
    assert dangerous not in SCRIPT


def test_no_number_touches_money() -> None:
    money = SCRIPTS["parts"].partition("function usd")[2].partition("function element")[0]
    assert not re.search(r"Number|parseFloat|toFixed|\* ?100\b|\bMath\b", money)
    assert "BigInt" in money


def test_the_icon_is_a_drawing_and_nothing_else() -> None:
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring((WEB / "icon.svg").read_text()).iter()}
    assert tags <= {"svg", "rect", "circle", "path", "g"}


# ── its parts fit together ──────────────────────────────────────────────────────


def used_ids() -> set[str]:
    """The ids of the elements that the script writes to."""
    figures = set(re.findall(r'\btotal\("([\w-]+)"', SCRIPT))
    written = set(
        re.findall(r'\b(?:by|fill|say|tell|list|into|lines|bars)\("([\w-]+)"', SCRIPT.replace('by("login")', ""))
    )
    return written | figures | {f"{name}-calls" for name in figures}


def test_every_element_the_script_writes_to_is_there_once(page: Page) -> None:
    there = Counter(page.values("id"))
    assert {name for name, times in there.items() if times > 1} == set()
    assert {"status", "empty", "today", "today-calls", "models", "calls"} <= used_ids() <= {*there}


def test_labels_point_at_elements_that_are_there(page: Page) -> None:
    assert {*page.values("aria-labelledby")} <= {*page.values("id")}


def test_every_field_has_a_label_around_it() -> None:
    labelled = "".join(re.findall(r"<label.*?</label>", HTML, re.DOTALL))
    for field in ("<input", "<select", "<textarea"):
        assert labelled.count(field) == HTML.count(field) > 0


def test_every_button_says_what_it_does_to_a_form(page: Page) -> None:
    kinds = [attributes.get("type") for tag, attributes in page.elements if tag == "button"]
    assert {*kinds} == {"submit", "button"}  # none by default
    assert kinds.count("submit") == len([tag for tag, _ in page.elements if tag == "form"])


def test_every_table_has_a_name_and_every_chart_a_table_beside_it(page: Page) -> None:
    tables = HTML.count("<table ")
    assert tables == len(
        re.findall(r'<div class="scroll" tabindex="0" role="region" aria-labelledby="[\w-]+"><table ', HTML)
    )
    for part in HTML.split('class="chart"')[1:]:
        assert "as a table" in part.partition("</section>")[0]
    assert HTML.count('class="chart"') >= 2


COMMANDS = {"explore": "report", "health": "journal"}
"""What says the same as a view that has another name."""


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_has_a_link_and_an_empty_state_with_a_command(page: Page, view: str) -> None:
    assert {view, f"to-{view}", "empty" if view == "spend" else f"{view}-empty"} <= {*page.values("id")}
    if view != "spend":
        empty = re.split(r"</(?:div|section)>", HTML.partition(f'id="{view}-empty"')[2])[0]
        assert f"<code>farebox {COMMANDS.get(view, view)} " in empty


def test_the_page_says_its_language_title_and_what_to_do_without_a_script(page: Page) -> None:
    tags = dict(page.elements)
    assert tags["html"]["lang"] == "en"
    assert {"title", "main", "h1", "noscript"} <= {*tags}
    assert dict(page.elements)["main"] is not None
    assert {*page.values("aria-live")} == {"polite"}
    results = {attributes.get("id") for _, attributes in page.elements if attributes.get("role") == "status"}
    assert {"budget-result", "key-result", "limit-result", "alert-result"} <= results


def test_every_class_has_a_style(page: Page) -> None:
    login = re.findall(r'class="([\w-]+)"', (WEB / "login.html").read_text())
    used = {name for names in page.values("class") for name in names.split()} | {*login}
    used |= set(re.findall(r'"(number|marked|wrap|over)"', SCRIPT))
    assert {name for name in used if f".{name}" not in STYLE} <= {"note", "custom"}
    assert {"number", "marked", "wrap", "over"} <= used


def test_the_script_asks_the_api_what_it_offers() -> None:
    asked = {*re.findall(r"\bask\([\"`]([^\"`]+)[\"`]\)", SCRIPT)} - {"openapi.json"}
    assert len(asked) >= 12
    for question in asked:
        bare = re.sub(r"\$\{\w*encodeURIComponent\(id\)\}", "{id}", question).replace("by=${name}", "by=")
        bare = re.sub(r"\$\{(?:[^{}`]|\$\{[^}]*\})*\}", "", bare)  # values, and what is narrowed by any dimension
        path, query = urlsplit(f"/api/v1/{bare}").path, urlsplit(bare).query
        offered = {parameter["name"] for parameter in PATHS[path]["get"].get("parameters", [])}
        given = parse_qs(query, keep_blank_values=True)
        assert {*given} <= offered
        assert {name for name in given.get("by", [""])[0].split(",") if name} <= {*DIMENSIONS}


def test_the_script_tells_the_api_what_it_offers() -> None:
    told = re.findall(r'\bsend\("(\w+)", "([^"]+)"', SCRIPT)
    assert "upload(`finetune/estimate?" in SCRIPT
    assert len(told) == SCRIPT.count("send(") - 1  # its definition
    for method, path in told:
        assert method.lower() in PATHS[f"/api/v1/{path}"]
    nouns = {"budgets": "{name}", "keys": "{id}", "limits": "{name}"}
    deleted = {path for method, path in told if method == "DELETE"}
    assert deleted == {f"{noun}/{each}" for noun, each in nouns.items()} | {"session"}


@pytest.mark.parametrize("noun", ["budget", "limit", "key"])
def test_forms_say_everything_that_the_api_takes(noun: str) -> None:
    path, method = ("/api/v1/keys", "post") if noun == "key" else (f"/api/v1/{noun}s/{{name}}", "put")
    form = HTML.partition(f'<form id="{noun}-form"')[2].partition("</form>")[0]
    names = {*re.findall(r' name="([^"]+)"', form)} | ({"scope"} if 'class="scope"' in form else set())
    taken = PATHS[path][method]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert names == {*taken} | {"name"}


def test_a_scope_can_name_every_dimension() -> None:
    template = HTML.partition('<template id="scope-fields">')[2].partition("</template>")[0]
    assert {*re.findall(r' name="scope\.(\w+)"', template)} == {*scopes.DIMENSIONS, "tag"}
    assert re.findall(r"\w+", SCRIPTS["parts"].partition("DIMENSIONS = [")[2].partition("]")[0]) == [*scopes.DIMENSIONS]


def test_the_explorer_sums_and_narrows_by_every_dimension() -> None:
    narrows = SCRIPTS["explore"].partition("const NARROWS = [")[2].partition("];")[0]
    assert re.findall(r'"(\w+)"', narrows) == [*DIMENSIONS]
    for name in ("by", "narrow"):
        options = HTML.partition(f'<select name="{name}">')[2].partition("</select>")[0]
        assert re.findall(r'value="(\w+)"', options) == [*DIMENSIONS]
    windows = HTML.partition('id="explore-form"')[2].partition('<select name="window">')[2].partition("</select>")[0]
    assert {*re.findall(r'value="(\w+)"', windows)} == {*BUDGET_WINDOWS, "custom"}


def test_the_estimate_and_the_prices_offer_every_method_and_tier() -> None:
    methods = HTML.partition('<select name="method">')[2].partition("</select>")[0]
    assert {METHODS[name] for name in re.findall(r"<option>(\w+)", methods)} == {*METHODS.values()}
    tiers = HTML.partition('<select name="tier">')[2].partition("</select>")[0]
    assert re.findall(r"<option(?: selected)?>(\w+)", tiers) == [*TIERS]


def test_the_break_even_has_fields_for_what_must_be_said() -> None:
    for name in ("MAIN", "NEEDED"):
        named = re.findall(r'"(\w+)"', SCRIPTS["finetune"].partition(f"const {name} = [")[2].partition("]")[0])
        assert {*named} <= {*MEANINGS}


def test_the_explorer_and_the_prices_read_fields_that_there_are() -> None:
    exploring = {*reports.sums(fold([])), *DIMENSIONS, *ChargeRow.model_fields, "cost_usd"}
    exploring |= {"unit", "quantity", "rate_usd", "per", "name", "value", "place", "others"}
    assert {*re.findall(r"\brow\.(\w+)", SCRIPTS["explore"])} <= exploring
    at = datetime(2026, 11, 24, tzinfo=UTC)
    priced = {*listed(price_book(), "default", at)[0], *history(price_book(), "gpt-4o", at.date())[0], "rates"}
    assert {*re.findall(r"\brow\.(\w+)", SCRIPTS["prices"])} <= priced


def test_a_budget_can_have_every_window_and_mode() -> None:
    form = HTML.partition('<form id="budget-form"')[2]
    windows = form.partition('<select name="window">')[2].partition("</select>")[0]
    modes = HTML.partition('<select name="mode">')[2].partition("</select>")[0]
    assert re.findall(r"<option[^>]*>(\w+)", windows) == [*BUDGET_WINDOWS]
    assert re.findall(r'value="(\w+)"', modes) == [*MODES]
    assert f'value="{", ".join(map(str, ALERT_PERCENTS))}"' in HTML


NOW = datetime(2026, 11, 23, tzinfo=UTC)
ANY_KEY = Key("key_1", "a", "", "abcd", NOW)
READ_OF_ROWS = {
    "budgets": {*position_shown(Position(Budget("a", 1), NOW, NOW, 0, 0))},
    "limits": {*limit_shown(Limit("a"))},
    "keys": {*shown(ANY_KEY, NOW)},
    "alerts": {*AlertRow.model_fields, "deliveries"},
}


@pytest.mark.parametrize("view", READ_OF_ROWS)
def test_the_tables_read_fields_that_there_are(view: str) -> None:
    read = set(re.findall(r"\brow\.(\w+)", SCRIPTS[view]))
    assert len(read) >= 2
    assert read <= READ_OF_ROWS[view]


def test_the_script_reads_sums_and_charges_that_there_are() -> None:
    figures = {*reports.sums(fold([])), *DIMENSIONS}
    charge = {*ChargeRow.model_fields, "cost_usd"}
    sums, _, rest = SCRIPTS["spend"].partition("const calls")
    calls, _, rest = rest.partition("function total")
    total = rest.partition("async function refresh")[0]
    assert {"cost_usd", "unknown"} <= set(re.findall(r"\brow\.(\w+)", sums)) <= figures
    assert {"cost_usd", "unknown"} <= set(re.findall(r"\bsum\.(\w+)", total)) <= figures
    assert {"started_at", "model", "cost_usd"} <= set(re.findall(r"\brow\.(\w+)", calls)) <= charge
