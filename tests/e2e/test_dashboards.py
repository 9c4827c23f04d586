"""Every panel and every alert's way, for real: apps, Farebox, Prometheus, Alertmanager, a webhook.

One scene is played: the apps of the demonstration call through a Farebox that has budgets, and a second one whose
upstream answers with a model that nobody has a price for. Prometheus scrapes both with the committed configuration
and rules, only faster. All panels are asked until they answer; the tests look at what they answered.
"""

import asyncio
import contextlib
import json
import math
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from e2e.served import free_port
from programs import program
from replica import Replica
from scripted_upstream import answering, scripted

from billing.budgets import Budget
from billing.keys import Name
from billing.scopes import Scope
from dashboards.grafana.build import DASHBOARDS
from dashboards.grafana.panels import Panel, Variable
from proxy.app import running
from proxy.identity import fingerprint
from proxy.settings import load
from proxy.simulator.server import start
from proxy.simulator.simulator import Simulator

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "dashboards"
CALLS_A_SECOND = 40
SCENE_SECONDS = 40
"""How long it may take until every panel has answered; it takes ten to fifteen."""

PICO = 10**12
BUDGETS = (
    Budget("everything", 50 * PICO),
    Budget("helpdesk", PICO // 1000, window="day", scope=Scope({"team": ("support",)}), hard=False),
    Budget("embeddings", PICO // 10**7, window="day", scope=Scope({"model": ("text-embedding-3-small",)})),
)
"""One that lasts, a soft one that is soon overrun, a hard one that soon refuses."""

UNPRICED = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-9-imaginary",
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
).encode()
UNPRICED_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(UNPRICED),
    UNPRICED,
)

Series = list[dict[str, Any]]


@dataclass
class Seen:
    """What the scene has shown: the series that each expression was answered with, and the webhook's messages."""

    answers: dict[str, Series] = field(default_factory=dict)
    values: dict[str, list[str]] = field(default_factory=dict)
    unhealthy_rules: list[str] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def told(self) -> list[dict[str, str]]:
        """The labels of the alerts that arrived."""
        return [alert["labels"] for message in self.messages for alert in message["alerts"]]


def asked(expression: str) -> str:
    """An expression as Grafana would send it: variables on All, short windows for a short scene. Without what would
    make it answer although nothing is there, and about today instead of other days, which the scene does not have."""
    shown = re.sub(r" or (vector\(0\)|0 \* .*)", "", expression)
    shown = re.sub(r" offset 1[dw]", "", shown)
    return re.sub(r"\$\w+", lambda found: {"$__rate_interval": "5s", "$__range": "10s"}.get(found[0], ".*"), shown)


PANELS: list[Panel] = [panel for dashboard in DASHBOARDS for panel in dashboard.panels]
EXPRESSIONS = {asked(query.expr) for panel in PANELS for query in panel.queries}
VARIABLES: set[Variable] = {variable for dashboard in DASHBOARDS for variable in dashboard.variables}


def answered(series: Series) -> bool:
    """Whether something was answered, and every figure is one."""
    return bool(series) and all(math.isfinite(float(one["value"][1])) for one in series)


def adapted(text: str, *changes: tuple[str, str]) -> str:
    """A committed configuration with other addresses and shorter times; each change must find its place."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextlib.asynccontextmanager
async def process(*command: object, **environment: str) -> AsyncIterator[None]:
    """A program beside the scene, ended with it."""
    child = await asyncio.create_subprocess_exec(
        *map(str, command),
        env={name: value for name, value in os.environ.items() if not name.startswith("FAREBOX_")} | environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        child.terminate()
        await child.wait()


@contextlib.asynccontextmanager
async def webhook(messages: list[dict[str, Any]]) -> AsyncIterator[str]:
    """Somebody who is told."""

    async def take(request: web.Request) -> web.Response:
        messages.append(await request.json())
        return web.Response()

    application = web.Application()
    application.router.add_post("/alerts", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/alerts"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def farebox(folder: Path, name: str, upstream: str) -> AsyncIterator[Replica]:
    """A Farebox with books of its own."""
    given = {
        "FAREBOX_UPSTREAM": upstream,
        "FAREBOX_LISTEN": "127.0.0.1:0",
        "FAREBOX_CONSOLE": "127.0.0.1:0",
        "FAREBOX_DATABASE": f"sqlite:///{folder}/{name}.db",
        "FAREBOX_JOURNAL": f"{folder}/{name}",
        "FAREBOX_REPLICA": name,
        "FAREBOX_SHUTDOWN_SECONDS": "0.2",
        "FAREBOX_HOLD_WAIT": "0",
    }
    async with running(load(given, default_file="/none")) as app:
        yield Replica(app)


async def call_the_unpriced(through: Replica) -> None:
    """Calls that are answered by a model without a price, until the scene ends."""
    body = json.dumps({"model": "gpt-9-imaginary", "messages": []})
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer sk-other"}) as session:
        while True:
            async with session.post(f"{through.url}/v1/chat/completions", data=body) as answer:
                await answer.read()
            await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def watching(folder: Path, hook: str, *watched: Replica) -> AsyncIterator[str]:
    """Prometheus and Alertmanager with the committed configuration, a second instead of fifteen; Prometheus' URL."""
    alertmanager, prometheus = free_port(), free_port()
    targets = ", ".join(f'"{replica.app.console_listening}"' for replica in watched)
    (folder / "prometheus.yml").write_text(
        adapted(
            (FOLDER / "prometheus" / "prometheus.yml").read_text(),
            ("interval: 15s", "interval: 1s"),
            ("- rules.yml", f"- {FOLDER}/prometheus/rules.yml"),
            ('"alertmanager:9093"', f'"127.0.0.1:{alertmanager}"'),
            ('"farebox:8081"', targets),
        )
    )
    (folder / "alertmanager.yml").write_text(
        adapted(
            (FOLDER / "alertmanager" / "alertmanager.yml").read_text(),
            ("group_wait: 30s", "group_wait: 1s"),
            ("group_wait: 5s", "group_wait: 0s"),
            ("http://host.docker.internal:5001/alerts", hook),
        )
    )
    url = f"http://127.0.0.1:{prometheus}"
    async with (
        process(
            program("prometheus-alertmanager", "alertmanager"),
            f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/alertmanager",
            f"--web.listen-address=127.0.0.1:{alertmanager}",
            "--cluster.listen-address=",
        ),
        process(
            program("prometheus"),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/prometheus",
            f"--web.listen-address=127.0.0.1:{prometheus}",
        ),
    ):
        yield url


async def ask(session: aiohttp.ClientSession, question: str, **parameters: str) -> Any:
    """An answer of Prometheus' API; None while there is none."""
    with contextlib.suppress(aiohttp.ClientError):
        async with session.get(f"/api/v1/{question}", params=parameters) as answer:
            said = await answer.json()
            assert said["status"] == "success" or answer.status == 503, f"{parameters}: {said}"
            return said.get("data")
    return None


async def look(url: str, seen: Seen) -> None:
    """Ask everything until it is answered, or for ever."""
    async with aiohttp.ClientSession(url) as session:
        while not (
            all(answered(seen.answers.get(expression, [])) for expression in EXPRESSIONS)
            and all(seen.values.get(variable.name) for variable in VARIABLES)
            and {"FareboxBudgetSpent", "FareboxUnpricedModel"} <= {alert["alertname"] for alert in seen.told}
        ):
            await asyncio.sleep(0.25)
            for expression in EXPRESSIONS:
                if not answered(seen.answers.get(expression, [])):
                    seen.answers[expression] = (await ask(session, "query", query=expression) or {}).get("result", [])
            for variable in VARIABLES:
                values = await ask(session, f"label/{variable.label}/values", **{"match[]": variable.metric})
                seen.values[variable.name] = values or []
        groups = (await ask(session, "rules"))["groups"]
        seen.unhealthy_rules = [rule["name"] for group in groups for rule in group["rules"] if rule["health"] != "ok"]


async def scene(folder: Path, seen: Seen) -> None:
    simulator = await start(Simulator(1))
    async with (
        scripted(answering(UNPRICED_ANSWER)) as unpriced,
        farebox(folder, "one", simulator.url) as one,
        farebox(folder, "two", unpriced.url) as two,
        webhook(seen.messages) as hook,
        watching(folder, hook, one, two) as url,
    ):
        await one.define(*BUDGETS, Name(fingerprint("sk-demo-helpdesk"), "helpdesk", team="support"))
        apps = process(sys.executable, ROOT / "docker" / "apps.py", CALLS_A_SECOND, OPENAI_BASE_URL=f"{one.url}/v1")
        calling = asyncio.create_task(call_the_unpriced(two))
        try:
            async with apps:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SCENE_SECONDS):
                        await look(url, seen)
        finally:
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)
    await simulator.stop()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    program("prometheus")
    program("prometheus-alertmanager", "alertmanager")
    shown = Seen()
    asyncio.run(scene(tmp_path_factory.mktemp("scene"), shown))
    return shown


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_every_panel_answers(seen: Seen, panel: Panel) -> None:
    for query in panel.queries:
        series = seen.answers[asked(query.expr)]
        assert answered(series), f"{asked(query.expr)} → {series}"
        for label in re.findall(r"\{\{(\w+)\}\}", query.legend):
            assert all(one["metric"].get(label) for one in series), "a legend names a label that is not there"


@pytest.mark.parametrize("variable", sorted(VARIABLES, key=lambda variable: variable.name), ids=lambda v: v.name)
def test_every_variable_has_values(seen: Seen, variable: Variable) -> None:
    expected = {"team": "support", "model": "gpt-4o-mini", "budget": "helpdesk"}
    assert expected[variable.name] in seen.values[variable.name]


def test_every_rule_works(seen: Seen) -> None:
    assert seen.unhealthy_rules == []


def test_a_budget_that_is_spent_is_told_to_somebody(seen: Seen) -> None:
    """Through the real gauges, rules and routes. The budget that is only nearly spent stays untold beside it."""
    spent = [alert for alert in seen.told if alert["alertname"] == "FareboxBudgetSpent"]
    assert {"helpdesk"} <= {alert["budget"] for alert in spent} <= {"helpdesk", "embeddings"}
    assert {alert["severity"] for alert in spent} == {"critical"}
    assert "everything" not in {alert.get("budget") for alert in seen.told}
    summaries = [alert["annotations"]["summary"] for message in seen.messages for alert in message["alerts"]]
    assert "Budget helpdesk is spent" in summaries


def test_a_model_without_a_price_is_told_to_somebody(seen: Seen) -> None:
    assert {"alertname": "FareboxUnpricedModel", "model": "gpt-9-imaginary", "severity": "warning"} in seen.told
