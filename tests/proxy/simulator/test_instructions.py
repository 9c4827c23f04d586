import re

import pytest

from proxy.simulator.instructions import Instruction, Stall, pick, read_shares


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Instruction()),
        (" ; ;", Instruction()),
        ("prompt_tokens=300000; tier=default", Instruction(prompt_tokens=300_000, tier="default")),
        ("completion_tokens=0", Instruction(completion_tokens=0)),
        ("stall=2.5@3", Instruction(stall=Stall(2.5, 3), fault="stall=2.5@3")),
        ("stall=.5", Instruction(stall=Stall(0.5, 0), fault="stall=.5")),
        ("words=9;cut=0", Instruction(words=9, cut=0, fault="cut=0")),
        ("merge", Instruction(merge=4, fault="merge")),
        ("split=2 ; gzip", Instruction(split=2, gzip=True, fault="split=2; gzip")),
        ("lie", Instruction(lie="usage_text", fault="lie")),
        ("lie=usage_text", Instruction(lie="usage_text", fault="lie=usage_text")),
        ("chunk_lines=crlf", Instruction(chunk_lines="crlf", fault="chunk_lines=crlf")),
        ("drop=true; delay=1", Instruction(drop=True, delay=1, fault="drop=true; delay=1")),
        ("status=429-quota", Instruction(status="429-quota", fault="status=429-quota")),
        ("draw=same", Instruction(draw="same")),
    ],
)  # fmt: skip
def test_what_can_be_said(text: str, expected: Instruction) -> None:
    assert Instruction.read(text) == expected


@pytest.mark.parametrize(
    "text",
    ["explode", "cut", "cut=-1", "cut=3.5", "trickle=0", "merge=0", "delay=soon", "delay=-1", "delay=nan",
     "status=418", "drop=no", "lie=price", "tier", "draw=", "stall=@3", "prompt_tokens=1e5", "chunk_lines=cr",
     "=3"],
)  # fmt: skip
def test_what_cannot_be_understood_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=f"instruction {re.escape(repr(text))}"):
        Instruction.read(f"words=3; {text}")


def test_shares_of_luck_pick_instructions() -> None:
    shares = read_shares(["0.25 cut=3", ".5 drop; delay=1"])
    picked = [pick(shares, luck / 100).fault for luck in range(100)]
    assert picked == ["cut=3"] * 25 + ["drop; delay=1"] * 50 + [None] * 25


@pytest.mark.parametrize("lines", [["cut=3"], ["2 cut=3"], ["0.6 drop", "0.5 drop"], ["0.1 explode"], ["-0.1 drop"]])
def test_shares_that_make_no_sense(lines: list[str]) -> None:
    with pytest.raises(ValueError, match=r"share|unknown"):
        read_shares(lines)
