"""The public openai client against a running daemon: test_openai.py SOCKET.

Exits 0 when everything holds; otherwise the first failed assertion says what doesn't.
"""

import sys

import httpx2
import openai

SOCKET = sys.argv[1]
MESSAGES = [{"role": "user", "content": "Tell me a story about a dog and a ball."}]


def client(**options):
    transport = httpx2.HTTPTransport(uds=SOCKET)
    return openai.OpenAI(
        api_key="unused",
        base_url=options.pop("base_url", "http://localhost/v1"),
        http_client=openai.DefaultHttpx2Client(transport=transport),
        **options,
    )


def refused(error, function, **expected):
    try:
        function()
    except error as refusal:
        for name, value in expected.items():
            assert getattr(refusal, name) == value, (name, getattr(refusal, name), value)
        return refusal
    raise AssertionError(f"{error.__name__} was expected")


def models(c):
    listed = c.models.list().data
    assert [model.id for model in listed] == ["demo"], listed
    assert c.models.retrieve("demo").owned_by == "moed"
    refused(openai.NotFoundError, lambda: c.models.retrieve("other"), code="model_not_found", param="model")


def whole(c):
    raw = c.chat.completions.with_raw_response.create(
        model="demo", messages=MESSAGES, max_tokens=40, temperature=0.7, seed=11
    )
    assert raw.headers["x-request-id"].startswith("req-")
    answer = raw.parse()
    assert answer.object == "chat.completion" and answer.system_fingerprint.startswith("moed-")
    assert answer.choices[0].message.role == "assistant" and answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_cache_hit_tokens + usage.prompt_cache_miss_tokens == usage.prompt_tokens
    assert usage.completion_tokens_details.reasoning_tokens == 0
    return answer.choices[0].message.content


def streamed(c, text):
    stream = c.chat.completions.create(
        model="demo", messages=MESSAGES, max_tokens=40, temperature=0.7, seed=11, stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])
    # The helper accumulates by index, role and usage, and trips over each wire trap.
    with c.chat.completions.stream(
        model="demo", messages=MESSAGES, max_tokens=40, temperature=0.7, seed=11, stream_options={"include_usage": True}
    ) as helper:
        for _ in helper:
            pass
        try:
            final = helper.get_final_completion()
        except openai.LengthFinishReasonError as error:
            final = error.completion
    assert final.choices[0].message.content == text
    assert final.usage.prompt_tokens == chunks[-1].usage.prompt_tokens


def long_prompt(c):
    """Comments come while the prompt is computed; the client must not mistake them for events."""
    prompt = "The dog ran to the park and saw a big red ball. " * 130
    stream = c.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": prompt}], max_tokens=3, stream=True
    )
    assert [chunk.choices[0].finish_reason for chunk in stream][-1] == "length"


def reasoning(c):
    options = {"model": "demo", "messages": MESSAGES, "max_tokens": 80, "temperature": 0}
    options["extra_body"] = {"thinking": {"type": "enabled"}}
    message = c.chat.completions.create(**options).choices[0].message
    assert message.reasoning_content and "</think>" not in message.reasoning_content
    deltas = [chunk.choices[0].delta for chunk in c.chat.completions.create(**options, stream=True)]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == message.reasoning_content
    assert "".join(delta.content or "" for delta in deltas) == message.content


def logprobs(c):
    answer = c.chat.completions.create(
        model="demo", messages=MESSAGES, max_tokens=6, temperature=0, logprobs=True, top_logprobs=2
    )
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == 6 and all(len(token.top_logprobs) == 2 for token in tokens)
    assert "".join(token.token for token in tokens) == answer.choices[0].message.content


def completions(c):
    answer = c.completions.create(model="demo", prompt="Once upon a time", max_tokens=5, temperature=0, echo=True)
    assert answer.choices[0].text.startswith("Once upon a time, there was"), answer
    chunks = list(c.completions.create(model="demo", prompt="Once", max_tokens=5, temperature=0, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"


def errors(c):
    def chat(**fields):
        return lambda: c.chat.completions.create(**({"model": "demo", "messages": MESSAGES, "max_tokens": 1} | fields))

    refused(openai.NotFoundError, chat(model="gpt-4"), code="model_not_found", status_code=404)
    refused(openai.BadRequestError, chat(temperature=3), param="temperature", type="invalid_request_error")
    refused(openai.BadRequestError, chat(n=2), param="n")
    refused(openai.BadRequestError, chat(logit_bias={"1": 1}), param="logit_bias", code="unsupported_parameter")
    refused(openai.BadRequestError, chat(tools=[{"type": "function", "function": {"name": "f"}}]), param="tools")
    too_long = [{"role": "user", "content": "word " * 3000}]
    refused(openai.BadRequestError, chat(messages=too_long), code="context_length_exceeded", param="messages")
    refused(openai.BadRequestError, chat(messages=too_long, stream=True), code="context_length_exceeded")
    refusal = refused(openai.NotFoundError, lambda: c.embeddings.create(model="demo", input="x"), code="unknown_url")
    assert refusal.request_id.startswith("req-")


def deepseek():
    beta = client(base_url="http://localhost/beta")
    answer = beta.chat.completions.create(
        model="demo", max_tokens=4, temperature=0,
        messages=MESSAGES + [{"role": "assistant", "content": "Once upon a", "prefix": True}],
    )
    assert answer.choices[0].message.content.startswith(" time"), answer


def leaving(c):
    """A client that stops reading in the middle leaves the daemon free for the next."""
    stream = c.completions.create(
        model="demo", prompt="Once upon a time", max_tokens=2000, temperature=0, frequency_penalty=-2, stream=True
    )
    next(iter(stream))
    stream.close()
    assert c.chat.completions.create(model="demo", messages=MESSAGES, max_tokens=2).usage.completion_tokens == 2


c = client(max_retries=0, timeout=60)
models(c)
streamed(c, whole(c))
long_prompt(c)
reasoning(c)
logprobs(c)
completions(c)
errors(c)
deepseek()
leaving(c)
print(f"openai {openai.__version__}: everything holds")
