"""A real Chromium without a screen, driven by its DevTools protocol: what a page does, asks for and complains of."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

WAIT_SECONDS = 30
Json = dict[str, Any]


@dataclass
class Browser:
    """One tab. `requests` are the addresses that it asked for, `complaints` errors, warnings and refused content."""

    socket: aiohttp.ClientWebSocketResponse
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _session: str = ""
    _count: int = 0
    _waiting: dict[int, asyncio.Future[Json]] = field(default_factory=dict)

    async def send(self, method: str, **params: Any) -> Json:
        """One command of the protocol, and its answer."""
        self._count += 1
        asked = self._waiting[self._count] = asyncio.get_running_loop().create_future()
        to = {"sessionId": self._session} if self._session else {}
        await self.socket.send_json({"id": self._count, "method": method, "params": params, **to})
        async with asyncio.timeout(WAIT_SECONDS):
            answer = await asked
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: Json = answer.get("result", {})
        return result

    async def listen(self) -> None:
        """Reads what the browser says, until it is gone."""
        async for message in self.socket:
            told = json.loads(message.data)
            if "id" in told:
                self._waiting.pop(told["id"]).set_result(told)
            else:
                self._hear(told["method"], told["params"])
        for asked in self._waiting.values():
            asked.set_result({"error": "the browser is gone"})

    def _hear(self, event: str, params: Json) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning", "assert"}:
            self.complaints.append(json.dumps(params["args"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    async def attach(self) -> None:
        """To the one tab."""
        targets = (await self.send("Target.getTargets"))["targetInfos"]
        tab = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = (await self.send("Target.attachToTarget", targetId=tab, flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            await self.send(f"{domain}.enable")

    async def look(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """At so many pixels, in light or dark."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.send("Emulation.setEmulatedMedia", features=features)

    async def run(self, script: str) -> Any:
        """What an expression comes to in the page."""
        answer = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    async def until(self, script: str) -> None:
        """Waits for an expression to come true."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    with contextlib.suppress(AssertionError):  # while the page is being replaced
                        if await self.run(f"Boolean({script})"):
                            return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"never: {script}\n{await self.run('document.body.innerText')}") from None

    async def open(self, url: str) -> None:
        """Goes there."""
        await self.send("Page.navigate", url=url)
        await self.until(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(url)})")

    async def click(self, selector: str) -> None:
        """Presses what is shown there, as a mouse does; again where it had moved away under the mouse."""
        found = f"document.querySelector({json.dumps(selector)})"
        heard = f"{found}.addEventListener('click', () => window.missed = false, {{capture: true, once: true}})"
        missed = True
        while missed:
            await self.until(f"{found}?.checkVisibility()")
            await self.run(f"window.missed = true, {heard}, {found}.scrollIntoView({{block: 'center'}})")
            box = await self.run(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({found}.getBoundingClientRect())")
            for kind in ("mousePressed", "mouseReleased"):
                await self.mouse(kind, *box)
            missed = False
            with contextlib.suppress(AssertionError):  # the page was replaced: it was not missed
                missed = await self.run("window.missed")

    async def mouse(self, kind: str, x: float, y: float) -> None:
        """One event of a mouse with its button down."""
        await self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    async def write(self, selector: str, words: str) -> None:
        """Fills a field, as a keyboard does, or chooses of a list."""
        found = f"document.querySelector({json.dumps(selector)})"
        await self.until(f"{found}?.checkVisibility()")
        if await self.run(f"{found}.tagName") == "SELECT":
            await self.run(
                f"{found}.value = {json.dumps(words)}, {found}.dispatchEvent(new Event('change', {{bubbles: true}}))"
            )
            return
        await self.run(f"({found}.focus(), {found}.select())")
        await self.send("Input.insertText", text=words)

    async def key(self, name: str) -> None:
        """Presses a key."""
        code, text = {"Enter": (13, "\r"), "Tab": (9, "")}[name]
        for kind, typed in (("keyDown", text), ("keyUp", "")):
            await self.send(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, text=typed, windowsVirtualKeyCode=code
            )

    async def pick(self, selector: str, file: Path) -> None:
        """Chooses a file in a field for files."""
        root = (await self.send("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.send("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.send("DOM.setFileInputFiles", files=[str(file)], nodeId=node)

    async def picture(self, file: Path) -> None:
        """All of the page, as it looks."""
        made = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(made["data"]))


@contextlib.asynccontextmanager
async def chromium(program: str, folder: Path) -> AsyncIterator[Browser]:
    """A browser with an empty profile, ended with the scene."""
    process = await asyncio.create_subprocess_exec(
        program, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={folder}", "--no-first-run",
        "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--hide-scrollbars", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while "DevTools listening on " not in (said := (await process.stderr.readline()).decode()):
                assert said, "chromium ended before it listened"
        url = said.partition("DevTools listening on ")[2].strip()
        drained = asyncio.create_task(_drain(process.stderr))
        async with aiohttp.ClientSession() as http, http.ws_connect(url, max_msg_size=0) as socket:
            browser = Browser(socket)
            listening = asyncio.create_task(browser.listen())
            await browser.attach()
            yield browser
            listening.cancel()
        drained.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.readline():
        pass
