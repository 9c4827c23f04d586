import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from billing.journal import Journal
from proxy.cli import serving
from proxy.settings import load
from proxy.simulator.server import in_thread
from proxy.simulator.simulator import Simulator

PATIENCE_SECONDS = 60
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


class Process:
    """`python -m proxy …` in a folder of its own, whose standard output is read line by line."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "proxy", *arguments],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if not name.startswith(("FAREBOX_", "OPENAI_"))},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""

    def until(self, pattern: str) -> re.Match[str]:
        """Read on until it says so. The end of its output is a failure, and it does not have for ever."""
        assert self._process.stdout
        patience = threading.Timer(PATIENCE_SECONDS, self._process.kill)
        patience.start()
        try:
            for line in self._process.stdout:
                self.said += line
                if match := re.search(pattern, line):
                    return match
        finally:
            patience.cancel()
        raise AssertionError(f"it ended without {pattern}: {self.said} {self.end()}")

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Its exit status, and what it wrote to standard error."""
        rest, errors = self._process.communicate(timeout=PATIENCE_SECONDS)
        self.said += rest
        return self._process.returncode, errors

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@contextmanager
def process(folder: Path, *arguments: str) -> Iterator[Process]:
    started = Process(folder, *arguments)
    try:
        yield started
    finally:
        started.kill()


def answer(url: str, body: object = None, **headers: str) -> tuple[Any, Any]:
    """What a server answers, whole, and its headers."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"Authorization": "Bearer sk-1", **headers}), timeout=PATIENCE_SECONDS) as response:
        return response.read(), response.headers


SERVE = ("serve", "--listen", "0.0.0.0:0", "--console", "127.0.0.1:0", "--database", "sqlite:///led[ger].db")
POINT = r"OPENAI_BASE_URL=(http://127\.0\.0\.1:\d+/v1)$"  # a wildcard is shown as an address that can be reached
LOOK = r"(http://127\.0\.0\.1:\d+)/ "
REPLICA = ("--replica", "r", "--journal", "journal")


def test_serve_relays_says_where_and_ends_with_everything_in_the_ledger(tmp_path: Path) -> None:
    with in_thread(Simulator(seed=1)) as simulator, process(tmp_path, *SERVE, "--upstream", simulator.url) as farebox:
        assert simulator.url in farebox.until("relays to").string
        assert "sqlite:///led[ger].db" in farebox.said
        app, console = farebox.until(POINT)[1], farebox.until(LOOK)[1]
        assert answer(f"{console}/readyz")[0] == b"ready\n"
        body, headers = answer(f"{app}/chat/completions", CHAT)
        assert json.loads(body)["model"].startswith("gpt-4o")
        farebox.tell(signal.SIGTERM)
        assert farebox.end() == (0, "")
        assert "Stopping" in farebox.said
        rows = sqlite3.connect(tmp_path / "led[ger].db").execute("SELECT id, basis, cost_pico FROM charges").fetchall()
    bill = simulator.simulator.bill.total_usd
    assert rows == [(headers["x-farebox-id"], "reported", bill.scaleb(12))]


def test_a_second_signal_ends_at_once_and_the_next_life_charges_what_was_open(tmp_path: Path) -> None:
    stalling = json.dumps(CHAT | {"stream": True}).encode()
    with in_thread(Simulator(seed=1, faults=["1 stall=900@1"])) as simulator:
        arguments = (*SERVE, *REPLICA, "--upstream", simulator.url)
        with process(tmp_path, *arguments) as farebox, socket.socket() as caller:
            port = int(farebox.until(POINT)[1].removesuffix("/v1").rpartition(":")[2])
            caller.connect(("127.0.0.1", port))
            head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-1\r\n"
            caller.sendall(f"{head}Content-Length: {len(stalling)}\r\n\r\n".encode() + stalling)
            assert caller.recv(17) == b"HTTP/1.1 200 OK\r\n"
            farebox.tell(signal.SIGINT)
            farebox.until("Stopping")
            farebox.tell(signal.SIGTERM)
            assert farebox.end()[0] == 1
    journal = Journal(tmp_path / "journal" / "r")
    assert [call.requested_model for call in journal.unfinished()] == ["gpt-4o"]
    journal.shut()


def test_simulate_is_an_openai_of_its_own(tmp_path: Path) -> None:
    with process(tmp_path, "simulate", "--listen", "127.0.0.1:0", "--seed", "7") as simulator:
        url = simulator.until(r"answers at (http://127\.0\.0\.1:\d+)/v1 ")[1]
        answer(f"{url}/v1/chat/completions", CHAT)
        assert json.loads(answer(f"{url}/_simulator/bill")[0])["requests"] == 1
        simulator.tell(signal.SIGINT)
        assert simulator.end() == (0, "")


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with process(tmp_path, "serve", "--listen", f"127.0.0.1:{port}", "--console", "127.0.0.1:0") as farebox:
            status, errors = farebox.end()
    assert (status, farebox.said) == (1, "")
    assert errors.startswith("farebox: ")
    assert str(port) in errors
    assert errors.count("\n") == 1


# ── what users can mend is one line on standard error ───────────────────────────


def test_a_journal_in_use_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(tmp_path / "journal" / "mine")
    environ = {"FAREBOX_JOURNAL": str(tmp_path / "journal"), "FAREBOX_REPLICA": "mine"}
    assert serving.serve(load(environ, default_file="/nonexistent")) == 1
    journal.shut()
    assert "is in use by another farebox" in capsys.readouterr().err


def test_a_wrong_price_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.toml").write_text("[[price]]\nmodel = 1.5")
    environ = {"FAREBOX_PRICES": str(tmp_path / "own.toml"), "FAREBOX_JOURNAL": str(tmp_path / "journal")}
    assert serving.serve(load(environ, default_file="/nonexistent")) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "own.toml" in err


@pytest.mark.parametrize(
    ("listen", "faults", "says"),
    [
        ("nowhere", (), "not HOST:PORT: 'nowhere'"),
        ("127.0.0.1:0", ("often drop",), "'often drop' does not begin with a share between 0 and 1"),
        ("127.0.0.1:0", ("0.1 explode",), "unknown instruction 'explode'"),
    ],
)
def test_what_the_simulator_cannot_understand_is_named(
    listen: str, faults: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serving.simulate(listen, 1, faults) == 1
    assert capsys.readouterr().err == f"farebox: {says}\n"
