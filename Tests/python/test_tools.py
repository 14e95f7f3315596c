"""Tools through the public openai client: test_tools.py SOCKET, against a model that calls get_weather for Rome.

Exits 0 when everything holds; otherwise the first failed assertion says what doesn't.
"""

import json
import sys

import httpx2
import openai

client = openai.OpenAI(
    api_key="unused",
    base_url="http://localhost/v1",
    http_client=openai.DefaultHttpx2Client(transport=httpx2.HTTPTransport(uds=sys.argv[1])),
)
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Tells the weather.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
MODEL = client.models.list().data[0].id
MESSAGES = [{"role": "user", "content": "How is Rome?"}]


def check(message, finish_reason):
    assert finish_reason == "tool_calls", finish_reason
    assert message.reasoning_content == "Rome is a city.", message
    assert message.content == "\n\nI'll look.", message
    (call,) = message.tool_calls
    assert call.type == "function" and call.function.name == "get_weather", call
    assert json.loads(call.function.arguments) == {"city": "Rome"}, call
    assert call.id
    return call


arguments = {"model": MODEL, "messages": MESSAGES, "tools": TOOLS, "tool_choice": "auto", "temperature": 0}
choice = client.chat.completions.create(**arguments).choices[0]
call = check(choice.message, choice.finish_reason)

# The client puts a stream together itself, which fails for wrong indices.
with client.chat.completions.stream(**arguments) as stream:
    names = [event.name for event in stream if event.type == "tool_calls.function.arguments.done"]
    final = stream.get_final_completion().choices[0]
assert names == ["get_weather"], names
assert final.message.tool_calls[0].function.name == "get_weather" and final.finish_reason == "tool_calls", final

# The client's own message, and the tool's result, go back as they are.
history = MESSAGES + [
    choice.message.model_dump(exclude_none=True),
    {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
]
again = client.chat.completions.create(model=MODEL, messages=history, tools=TOOLS, temperature=0)
assert again.usage.prompt_tokens > 100, again.usage

# What the model would say before its call isn't taken then.
for choice, reason in (
    ("required", "tool_calls"),
    ({"type": "function", "function": {"name": "get_weather"}}, "stop"),
    (
        {
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "required",
                "tools": [{"type": "function", "function": {"name": "get_weather"}}],
            },
        },
        "tool_calls",
    ),
):
    forced = client.chat.completions.create(
        **{**arguments, "tool_choice": choice, "temperature": 1, "seed": 3}, parallel_tool_calls=False
    ).choices[0]
    assert forced.finish_reason == reason, forced
    assert not forced.message.content, forced
    (call,) = forced.message.tool_calls
    assert call.function.name == "get_weather" and isinstance(json.loads(call.function.arguments), dict), call
