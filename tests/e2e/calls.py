"""What an app does with the SDK, written so that the current and the previous generation of it both run it.

Run with a base URL: prints one JSON object a line, a call's name and all that the app got from it. Run directly
against OpenAI (here: the simulator) and through Farebox, it must print the same.
"""

import asyncio
import json
import sys
from typing import Any

import openai
from pydantic import BaseModel


class City(BaseModel):
    """What a parsed call is asked for."""

    name: str
    inhabitants: int


MESSAGES: Any = [{"role": "user", "content": "Which city is this?"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Look a city up.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
FINE_TUNED = "ft:gpt-4o-mini-2024-07-18:acme:support:Ab12Cd34"


def said(call: str) -> dict[str, str]:
    """The header that fixes the simulator's draw, so that two runs can be compared."""
    return {"x-simulate": f"draw={call}"}


def plain(value: Any) -> Any:
    """An answer of the SDK as JSON."""
    if isinstance(value, BaseModel):
        return json.loads(value.model_dump_json())
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def calls(client: openai.OpenAI) -> dict[str, Any]:
    """Every call, by name, as something to run."""
    chat, head = client.chat.completions, said
    return {
        "chat": lambda: chat.create(model="gpt-4o-mini", messages=MESSAGES, extra_headers=head("a")),
        "chat with tools": lambda: chat.create(
            model="gpt-4o", messages=MESSAGES, tools=TOOLS, tool_choice="required", extra_headers=head("b")
        ),
        "chat, several": lambda: chat.create(model="gpt-4.1", messages=MESSAGES, n=3, extra_headers=head("c")),
        "chat, fine-tuned": lambda: chat.create(model=FINE_TUNED, messages=MESSAGES, extra_headers=head("d")),
        "chat, streamed": lambda: list(
            chat.create(model="gpt-4o", messages=MESSAGES, stream=True, extra_headers=head("e"))
        ),
        "chat, streamed with usage": lambda: list(
            chat.create(
                model="gpt-4o",
                messages=MESSAGES,
                stream=True,
                stream_options={"include_usage": True},
                extra_headers=head("f"),
            )
        ),
        "chat, streamed without obfuscation": lambda: list(
            chat.create(
                model="gpt-5.4",
                messages=MESSAGES,
                stream=True,
                extra_body={"stream_options": {"include_obfuscation": False}},
                extra_headers=head("g"),
            )
        ),
        "chat, raw": lambda: json.loads(
            chat.with_raw_response.create(model="gpt-4o", messages=MESSAGES, extra_headers=head("h")).text
        ),
        "chat, tier": lambda: chat.create(
            model="gpt-5.6-sol", messages=MESSAGES, service_tier="flex", extra_headers=head("i")
        ),
        "completion": lambda: client.completions.create(
            model="gpt-3.5-turbo-instruct", prompt="Once", max_tokens=9, extra_headers=head("j")
        ),
        "completion, streamed": lambda: list(
            client.completions.create(
                model="gpt-3.5-turbo-instruct", prompt="Once", max_tokens=9, stream=True, extra_headers=head("k")
            )
        ),
        "response": lambda: client.responses.create(model="gpt-6.1-sol", input="Hello", extra_headers=head("l")),
        "response, streamed": lambda: list(
            client.responses.create(model="gpt-5.6-luna", input="Hello", stream=True, extra_headers=head("m"))
        ),
        "response, cut by its maximum": lambda: client.responses.create(
            model="gpt-4o", input="Hello", max_output_tokens=16, extra_headers=head("n")
        ),
        "embedding": lambda: client.embeddings.create(
            model="text-embedding-3-small", input=["a", "b"], extra_headers=head("o")
        ),
        "moderation": lambda: client.moderations.create(
            model="omni-moderation-latest", input="x", extra_headers=head("p")
        ),
        "models": lambda: [model.id for model in client.models.list()],
        "model": lambda: client.models.retrieve("gpt-4o"),
        "unknown model": lambda: chat.create(model="gpt-0", messages=MESSAGES, extra_headers=head("q")),
        "bad request": lambda: chat.create(model="gpt-4o", messages=[], extra_headers=head("r")),
        "unknown route": lambda: client.get("/nowhere", cast_to=object),
        "rate limited": lambda: chat.create(
            model="gpt-4o", messages=MESSAGES, extra_headers={"x-simulate": "draw=s; status=429"}
        ),
        "quota": lambda: chat.create(
            model="gpt-4o", messages=MESSAGES, extra_headers={"x-simulate": "draw=t; status=429-quota"}
        ),
        "server error": lambda: chat.create(
            model="gpt-4o", messages=MESSAGES, extra_headers={"x-simulate": "draw=u; status=500"}
        ),
        "error in a stream": lambda: list(
            chat.create(
                model="gpt-4o",
                messages=MESSAGES,
                stream=True,
                extra_headers={"x-simulate": "draw=v; error_midstream=2"},
            )
        ),
        "compressed": lambda: chat.create(
            model="gpt-4o", messages=MESSAGES, extra_headers={"x-simulate": "draw=w; gzip"}
        ),
        "stream in crumbs": lambda: list(
            chat.create(
                model="gpt-4o", messages=MESSAGES, stream=True, extra_headers={"x-simulate": "draw=x; trickle=7"}
            )
        ),
        "text that lies": lambda: list(
            chat.create(
                model="gpt-4o", messages=MESSAGES, stream=True, extra_headers={"x-simulate": "draw=y; lie=usage_text"}
            )
        ),
        "parsed": lambda: chat.parse(model="gpt-4o", messages=MESSAGES, response_format=City, extra_headers=head("z")),
    }


async def asynchronously(base_url: str) -> Any:
    """The same client, asynchronous: a stream and a whole answer."""
    client = openai.AsyncOpenAI(api_key="sk-test", base_url=base_url, max_retries=0)
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=MESSAGES, stream=True, extra_headers=said("async")
    )
    chunks = [plain(chunk) async for chunk in stream]
    answer = await client.responses.create(model="gpt-4o", input="Hello", extra_headers=said("async too"))
    await client.close()
    return [chunks, plain(answer)]


def main(base_url: str) -> None:
    """Run every call and print what came of it."""
    client = openai.OpenAI(api_key="sk-test", base_url=base_url, max_retries=0)
    for name, call in calls(client).items():
        try:
            got = plain(call())
        except openai.APIError as error:
            status = getattr(error, "status_code", None)
            got = [type(error).__name__, status, error.code, error.param, error.type, str(error)]
        print(json.dumps([name, got]))
    client.close()
    print(json.dumps(["asynchronous", asyncio.run(asynchronously(base_url))]))


if __name__ == "__main__":
    main(sys.argv[1])
