"""Answers in JSON through the public openai client: test_structured.py SOCKET, against any model.

Exits 0 when everything holds; otherwise the first failed assertion says what doesn't.
"""

import enum
import json
import sys
from typing import Literal, Optional, Union

import httpx2
import openai
import pydantic

client = openai.OpenAI(
    api_key="unused",
    base_url="http://localhost/v1",
    http_client=openai.DefaultHttpx2Client(transport=httpx2.HTTPTransport(uds=sys.argv[1])),
)
MODEL = client.models.list().data[0].id
ARGUMENTS = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Tell me a story about a dog."}],
    "max_tokens": 1500,
}


class Colour(str, enum.Enum):
    red = "red"
    grey = "grey"


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    colour: Colour
    puppies: list["Dog"]


class Story(pydantic.BaseModel):
    happy: bool
    hero: Union[Cat, Dog]
    score: Optional[float]


for seed in range(1):
    parsed = client.chat.completions.parse(**ARGUMENTS, response_format=Story, seed=seed, temperature=1)
    choice = parsed.choices[0]
    assert choice.finish_reason == "stop" and isinstance(choice.message.parsed, Story), choice

    with client.chat.completions.stream(**ARGUMENTS, response_format=Story, seed=seed, temperature=1) as stream:
        streamed = stream.get_final_completion().choices[0].message
    assert streamed.parsed == choice.message.parsed, streamed

    answer = client.chat.completions.create(
        **{**ARGUMENTS, "max_tokens": 200},
        response_format={"type": "json_object"},
        seed=seed,
        temperature=1,
        frequency_penalty=0.5,
    ).choices[0]
    if answer.finish_reason == "stop":
        assert isinstance(json.loads(answer.message.content), dict), answer

try:
    client.chat.completions.create(
        **ARGUMENTS,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "integer", "multipleOf": 2}},
        },
    )
    raise SystemExit("multipleOf should have been refused")
except openai.BadRequestError as refusal:
    assert refusal.param == "response_format.json_schema.schema.multipleOf", refusal
    assert refusal.code == "unsupported_parameter", refusal
