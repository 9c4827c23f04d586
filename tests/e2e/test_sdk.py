"""The official SDK, current and previous generation, behaves through Farebox as it does directly."""

import asyncio
import json
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from proxy.simulator.server import start
from proxy.simulator.simulator import Simulator

HERE = Path(__file__).parent
PREVIOUS = HERE.parent.parent / ".venv-openai1" / "bin" / "python"
SDKS = {"current": Path(sys.executable), "previous": PREVIOUS}


def interpreter(sdk: str) -> Path:
    if not SDKS[sdk].exists():
        assert "CI" not in os.environ, "make test installs the previous SDK into .venv-openai1"
        pytest.skip("no .venv-openai1 here: make test installs it")
    return SDKS[sdk]


async def played(sdk: str, base_url: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        interpreter(sdk), HERE / "calls.py", base_url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return dict(json.loads(line) for line in out.splitlines())


@pytest.mark.parametrize("sdk", SDKS)
def test_every_call_gives_the_same_through_farebox_as_directly(replica: Any, sdk: str) -> None:
    async def scene() -> None:
        simulator = await start(Simulator(7, clock=lambda: 1_790_000_000))
        try:
            direct = await played(sdk, f"{simulator.url}/v1")
            simulator.simulator.reset()
            async with replica(simulator.url) as farebox:
                through = await played(sdk, f"{farebox.url}/v1")
                for name, got in direct.items():
                    assert through[name] == got, name
                assert through.keys() == direct.keys()
                await books_agree(farebox, simulator.simulator)
        finally:
            await simulator.stop()

    asyncio.run(scene())


async def books_agree(farebox: Any, simulator: Simulator) -> None:
    """Our ledger against the simulator's own bill, row by row; an estimate is marked and may differ."""
    charges = {charge["upstream_request_id"]: charge for charge in await farebox.charges()}
    for row in simulator.bill:
        charge = charges.pop(row.request_id)
        if row.fault and "error_midstream" in row.fault:
            assert charge["basis"] == "estimated"
            continue
        assert charge["basis"] == "reported", row
        assert Decimal(charge["cost_usd"]) == row.cost_usd, row
        assert charge["response_id"] == row.id or row.id is None
    assert {charge["cost_usd"] for charge in charges.values()} <= {"0"}, "what is not on the bill was free"
