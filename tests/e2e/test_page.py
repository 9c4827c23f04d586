"""The console's page in a real Chromium: each view and each action, and that it stays to itself."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from browser import Browser, chromium
from programs import program
from replica import until

from proxy.app import App, running
from proxy.exchange import Clock
from proxy.settings import Settings
from proxy.simulator.server import start
from proxy.simulator.simulator import Simulator

MakeSettings = Callable[..., Settings]

TOKEN = "s3cret-token"
NOW = datetime(2026, 11, 23, 12, 34, tzinfo=UTC)
HOURS = 60
"""One call an hour, and three models in turn: two pages of charges, over three days."""
MODELS = ("gpt-4o", "gpt-4.1", "ft:gpt-4o-mini-2024-07-18:acme:support:Ab12Cd34")
VIEWS = (
    "spend", "explore?window=month&by=key", "explore?from=2026-11-22T00:00&to=2026-11-23T00:00&charge=fbx_0040",
    "budgets", "keys", "limits", "prices", "prices?model=gpt-4o",
    "finetune?traffic=gpt-4.1&tuned_input_tokens=50&training_tokens=3000000", "alerts", "health",
)  # fmt: skip
EXAMPLE = json.dumps({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]})


@dataclass
class Scene:
    """A replica with charges, somebody at its page, and somebody who asks its API."""

    app: App
    browser: Browser
    http: aiohttp.ClientSession

    async def go(self, view: str) -> None:
        """To a view, as somebody who was sent its address; until all of it is there."""
        await self.browser.open("about:blank")
        await self.browser.open(f"http://{self.app.console_listening}/#{view}")
        await self.fresh()

    async def fresh(self) -> None:
        """Until the view has its figures."""
        await self.browser.until("document.querySelector('#status').textContent.startsWith('As of')")

    async def text(self, selector: str) -> str:
        found: str = await self.browser.run(f"document.querySelector({json.dumps(selector)}).textContent")
        return found

    async def rows(self, table: str) -> int:
        """How many rows a table has, without its head."""
        found: int = await self.browser.run(f"document.querySelectorAll('#{table} tr:has(td)').length")
        return found

    async def reads(self, selector: str, words: str) -> None:
        """Until words stand there."""
        await self.browser.until(
            f"document.querySelector({json.dumps(selector)})?.textContent.includes({json.dumps(words)})"
        )

    async def ask(self, path: str) -> Any:
        """What the API says."""
        async with self.http.get(f"http://{self.app.console_listening}/api/v1/{path}") as answer:
            return await answer.json()

    def stays_to_itself(self) -> None:
        """No complaint, and no other host was asked for anything."""
        own = str(self.app.console_listening)
        hosts = {urlsplit(url).netloc for url in self.browser.requests if url.startswith(("http", "ws"))}
        assert hosts == {own}
        assert self.browser.complaints == []


def play(settings: MakeSettings, folder: Path, act: Callable[[Scene], Awaitable[None]], **more: str) -> None:
    """A scene before a simulator."""
    chrome = program("chromium", "chromium-browser", "google-chrome")

    @asynccontextmanager
    async def scene() -> AsyncIterator[Scene]:
        simulator = await start(Simulator(seed=3))
        numbers, now = count(1), [NOW]
        clock = Clock(lambda: now[0], time.monotonic, lambda: f"fbx_{next(numbers):04d}")
        try:
            async with (
                running(settings(simulator.url, **more), clock) as app,
                aiohttp.ClientSession() as http,
                chromium(chrome, folder / "profile") as browser,
            ):
                await until(lambda: app.ledger_ready)
                for hour in range(HOURS):
                    now[0] = NOW - timedelta(hours=HOURS - 1 - hour)
                    body = {"model": MODELS[hour % 3], "messages": [{"role": "user", "content": "hello"}]}
                    headers = {
                        "Authorization": f"Bearer sk-{hour % 2}",
                        "x-simulate": "prompt_tokens=9000; completion_tokens=700",
                    }
                    await (
                        await http.post(f"http://{app.listening}/v1/chat/completions", json=body, headers=headers)
                    ).read()
                await until(lambda: app.open_calls == 0 and app.journal.pending() == 0)
                await browser.look(1440)
                yield Scene(app, browser, http)
        finally:
            await simulator.stop()

    async def scenario() -> None:
        async with scene() as on:
            await act(on)

    asyncio.run(scenario())


def test_every_view_fits_any_width_in_dark_and_light_and_stays_to_itself(
    settings: MakeSettings, tmp_path: Path
) -> None:
    async def act(on: Scene) -> None:
        for width, dark in ((1440, False), (360, True)):
            await on.browser.look(width, dark=dark)
            for view in VIEWS:
                await on.go(view)
                assert await on.browser.run("document.documentElement.scrollWidth") == width, view
                assert await on.text("#trouble") == "", view
                name = view.partition("?")[0]
                assert await on.browser.run(f"document.querySelector('#{name}').checkVisibility()")
                paper = await on.browser.run("getComputedStyle(document.body).backgroundColor")
                assert (int(paper.removeprefix("rgb(").split(",")[0]) < 128) == dark
        on.stays_to_itself()

    play(settings, tmp_path, act)


def test_exploring_down_to_the_lines_of_a_charge(settings: MakeSettings, tmp_path: Path) -> None:
    async def act(on: Scene) -> None:
        page = on.browser
        await on.go("explore")
        sums = (await on.ask("spend?window=month&by=model"))["rows"]
        assert await on.rows("explore-groups") == len(sums) == 3
        assert await on.rows("explore-charges") == 50
        assert await page.run("document.querySelector('#explore-chart canvas').width") > 300
        # the other page of charges
        await page.click("#explore-older")
        await page.until("document.querySelectorAll('#explore-charges tr:has(td)').length === 10")
        await page.click("#explore-newest")
        await page.until("document.querySelectorAll('#explore-charges tr:has(td)').length === 50")
        # a group, then what it is made of
        await page.click("#explore-groups a")
        await on.reads("#explore-filters", f"model: {sums[0]['model']}")
        await page.until("document.querySelectorAll('#explore-charges tr:has(td)').length === 20")
        # another filter, written
        await page.write("#explore-form [name=by]", "key")
        await page.write("#explore-form [name=narrow]", "status")
        await page.write("#explore-form [name=value]", "404")
        await page.click("#explore-form [type=submit]")
        await page.until("document.querySelector('#explore-empty').checkVisibility()")
        await page.click("#explore-filters li:last-child a")
        await page.until("document.querySelectorAll('#explore-groups tr:has(td)').length === 2")
        # zoomed with a mouse, over the left half of the bars
        left, top, width = await page.run(
            "(b => [b.x, b.y + 20, b.width])(document.querySelector('#explore-chart .u-over').getBoundingClientRect())"
        )
        for kind, part in (("mousePressed", 0.02), ("mouseMoved", 0.2), ("mouseMoved", 0.48), ("mouseReleased", 0.48)):
            await page.mouse(kind, left + width * part, top)
        await page.until("location.hash.includes('from=2026-11-21') && location.hash.includes('to=2026-11-2')")
        # and with a keyboard
        await on.go("explore?window=month&by=model")
        await page.run("document.querySelector('#explore-sums details').open = true")
        await page.run("document.querySelector('#explore-times a').focus()")
        await page.key("Enter")
        await page.until("location.hash.includes('from=2026-11-21T00%3A00&to=2026-11-22T00%3A00')")
        # one charge, of which the address alone brings back everything
        await page.until("document.querySelectorAll('#explore-charges tr:has(td)').length === 23")
        await page.click("#explore-charges a")
        await on.reads("#charge-title", "Charge fbx_")
        charge = await on.ask(f"charges/{(await on.text('#charge-title')).split()[1].strip(':')}")
        assert await on.rows("charge-lines") == len(charge["lines"]) == 2
        assert await on.text("#charge-title") == f"Charge {charge['id']}: ${charge['cost_usd']}"
        address = await page.run("location.hash.slice(1)")
        seen = await on.text("#explore")
        await on.go(address)
        await on.reads("#charge-title", charge["id"])
        assert await on.text("#explore") == seen
        on.stays_to_itself()

    play(settings, tmp_path, act)


def test_prices_and_fine_tuning(settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("\n".join([EXAMPLE] * 12 + ["no json"]))

    async def act(on: Scene) -> None:
        page = on.browser
        await on.go("prices")
        await page.write("#prices-form [name=name]", "gpt-4.1-nano")
        await page.until(
            "[...document.querySelectorAll('#prices-rows td:first-child')].every(it => it.textContent.includes('nano'))"
        )
        assert "name=gpt-4.1-nano" in await page.run("location.hash")
        await page.click("#prices-rows a")
        await on.reads("#price-rows", "https://")
        await page.click("#price-part a")
        await page.write("#prices-form [name=name]", "no such model")
        await page.until("document.querySelector('#prices-empty').checkVisibility()")

        await on.go("finetune")
        assert await on.rows("calendar-rows") > 3
        await page.write("#estimate-form [name=model]", "gpt-4.1-mini")
        await page.click("#estimate-form [type=submit]")
        await on.reads("#estimate-result", "choose a training file")
        await page.pick("#estimate-form [name=file]", tmp_path / "train.jsonl")
        await on.reads("#file-name", "train.jsonl")
        await page.click("#estimate-form [type=submit]")
        await on.reads("#estimate-result", "1 examples would be refused")
        assert await on.rows("estimate-rows") == 7
        await on.reads("#estimate-problems", "error")
        await page.click("#estimate-onward")
        await page.until("document.querySelector('#breakeven-form [name=model]').value === 'gpt-4.1-mini'")
        for name, words in (
            ("calls", "100000"),
            ("input_tokens", "2000"),
            ("output_tokens", "300"),
            ("tuned_input_tokens", "200"),
        ):
            await page.write(f"#breakeven-form [name={name}]", words)
        # figures that are read again leave what is being written
        asked = "performance.getEntriesByType('resource').filter(it => it.name.endsWith('/retirements')).length"
        before = await page.run(asked)
        await page.run("document.activeElement.blur(), dispatchEvent(new Event('changed')), 0")
        await page.until(f"{asked} > {before} + 1")  # at once, and when it is in force
        await page.click("#breakeven-form [type=submit]")
        await on.reads("#breakeven-result", "costs least")
        assert await on.rows("breakeven-ways") == 4
        assert await page.run("document.querySelector('#breakeven-chart canvas').width") > 300
        assert "assumed" in await page.run("document.querySelector('#breakeven-form [name=months]').placeholder")
        await page.write("#breakeven-form [name=calls]", "many")
        await page.click("#breakeven-form [type=submit]")
        await on.reads("#breakeven-result", "Not done: ")
        on.browser.complaints[:] = [each for each in on.browser.complaints if "400 (Bad Request)" not in each]
        on.stays_to_itself()

    play(settings, tmp_path, act)


def test_budgets_keys_and_limits_are_made_changed_and_taken_away(settings: MakeSettings, tmp_path: Path) -> None:
    async def act(on: Scene) -> None:
        page = on.browser
        await on.go("budgets")
        await page.write("#budget-form [name=name]", "search")
        await page.write("#budget-form [name=limit_usd]", "50")
        await page.click("#budget-form [type=submit]")
        await on.reads("#budget-rows", "of $50.00")
        await page.click("#budget-rows [aria-label='Edit search']")
        await page.write("#budget-form [name=limit_usd]", "75.5")
        await page.click("#budget-form [type=submit]")
        await on.reads("#budget-rows", "of $75.50")
        await page.click("#budget-rows [aria-label='Delete search']")
        await page.click("#confirm-yes")
        await page.until("document.querySelector('#budgets-empty').checkVisibility()")

        await page.click("#to-keys")
        await page.write("#key-form [name=name]", "prod")
        await page.click("#key-form [type=submit]")
        await on.reads("#secret-value", "fb-")
        secret = await on.text("#secret-value")
        await page.click("#secret-done")
        assert secret not in await page.run("document.documentElement.outerHTML")
        await on.reads("#key-rows", "prod")
        await page.click("#key-rows [aria-label='Revoke prod']")
        await page.click("#confirm-no")
        await page.click("#key-rows [aria-label='Revoke prod']")
        await page.click("#confirm-yes")
        await on.reads("#key-rows", "revoked")

        await page.click("#to-limits")
        await page.write("#limit-form [name=name]", "slow")
        await page.write("#limit-form [name=requests_per_minute]", "60")
        await page.key("Enter")
        await on.reads("#limit-rows", "slow")

        await page.click("#to-alerts")
        await page.click("#alert-test")
        await page.until("document.querySelector('#alert-result').textContent !== ''")
        on.stays_to_itself()

    play(settings, tmp_path, act)


def test_signing_in_and_out(settings: MakeSettings, tmp_path: Path) -> None:
    async def act(on: Scene) -> None:
        page = on.browser
        await page.look(360, dark=True)
        await page.open(f"http://{on.app.console_listening}/#health")
        assert await page.run("document.documentElement.scrollWidth") == 360
        await page.write("[name=token]", "wrong")
        await page.key("Enter")
        await on.reads("#login-result", "this is not the admin token")
        await page.write("[name=token]", TOKEN)
        await page.key("Enter")
        await page.until("document.querySelector('#status')")
        await on.fresh()
        await on.reads("#health-state", "All is well")  # what was asked for before
        assert await page.run("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})") == "{}"
        await page.click("#sign-out")
        await page.until("document.querySelector('#login')")
        refused = [each for each in page.complaints if "401 (Unauthorized)" not in each]
        assert refused == []
        page.complaints.clear()
        on.stays_to_itself()

    play(settings, tmp_path, act, admin_token=TOKEN)
