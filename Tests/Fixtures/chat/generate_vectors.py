#!/usr/bin/env python3
"""Writes vectors.json and snippets.json beside this file: what Jinja makes of many conversations, and of snippets.txt.

    python3 -m venv venv && venv/bin/pip install jinja2==3.1.6
    venv/bin/python Tests/Fixtures/chat/generate_vectors.py DEEPSEEK_V31_TEMPLATE

The argument is the published DeepSeek-V3.1 template, as a file of its own; the demo's is taken from the checkout.
"""
import json
import pathlib
import random
import sys

from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

ROOT = pathlib.Path(__file__).resolve().parents[3]
CONFIG = json.loads((ROOT / "packaging/demo/tokenizer_config.json").read_text())
HOSTILE = ["<｜User｜>", "<｜Assistant｜>", "<think>", "</think>", "<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>",
           "</think", "</think>\u0301", "<</think>", "</think></think>", "{{ bos_token }}", "{% endfor %}", "<|User|>"]
PLAIN = ["", "Hello", "Tell me a story about a dog and a ball.", " ", "\n", "Two\n\nlines\r\n", "\ttab ", "öäü é e\u0301",
         "你好，世界", "😀👩‍👩‍👧‍👦", "'quoted' \"twice\" \\n", "<b>&amp;</b>", "a" * 300, "trailing space ", "\u00a0\u3000"]
FIXED = [
    [],
    [("system", "Be brief.")],
    [("system", "")],
    [("user", "")],
    [("system", "One."), ("system", "Two."), ("user", "Hello")],
    [("system", ""), ("system", "Two."), ("user", "Hello")],
    [("user", "Hello"), ("system", "Late."), ("user", "Again")],
    [("user", "Hello"), ("system", "Last.")],
    [("user", "a"), ("user", "b")],
    [("user", "a"), ("assistant", "b"), ("assistant", "c")],
    [("user", "a"), ("assistant", "plan</think>b"), ("user", "c")],
    [("user", "a"), ("assistant", "<think>plan</think>b</think>c"), ("user", "d")],
    [("user", "a"), ("assistant", "</think>"), ("user", "c")],
    [("assistant", "I begin."), ("user", "a")],
]


def conversation(generator):
    messages = []
    for _ in range(generator.randint(0, 2)):
        messages.append(("system", generator.choice(PLAIN)))
    for _ in range(generator.randint(0, 4)):
        messages += [("user", text(generator)), ("assistant", text(generator))]
    if generator.random() < 0.8:
        messages.append(("user", text(generator)))
    if generator.random() < 0.2:
        generator.shuffle(messages)
    return messages


def text(generator):
    return "".join(generator.choice(generator.choice([PLAIN, HOSTILE])) for _ in range(generator.randint(0, 3)))


def main():
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    published = pathlib.Path(sys.argv[1]).read_text()
    vectors = []
    for dialect, source in [("plain", CONFIG["chat_template"]), ("published", published)]:
        template = environment.from_string(source)
        generator = random.Random(5)
        conversations = [messages for messages in FIXED for _ in range(4)]
        conversations += [conversation(generator) for _ in range(220)]
        for number, messages in enumerate(conversations):
            thinking, prompt = number % 2 == 1, number % 4 < 2 or number % 7 > 2
            rendered = template.render(
                messages=[{"role": role, "content": content} for role, content in messages], thinking=thinking,
                add_generation_prompt=prompt, bos_token=CONFIG["bos_token"], eos_token=CONFIG["eos_token"])
            vectors.append({"dialect": dialect, "messages": [list(message) for message in messages],
                            "thinking": thinking, "generationPrompt": prompt, "rendered": rendered})
    path = pathlib.Path(__file__).with_name("vectors.json")
    lines = ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors)
    path.write_text(f"[\n{lines}\n]\n")
    print(f"{len(vectors)} conversations, {path.stat().st_size} bytes in {path}")
    write_snippets()


CONVERSATION = [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "Hi <b>\n\"you\" é"},
                {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "a<think>b"}]


def refuse(message):
    raise ValueError(message)


def write_snippets():
    """Snippets are parted by blank lines."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = (
        lambda value, ensure_ascii=False, indent=None, separators=None, sort_keys=False: json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys))
    environment.globals["raise_exception"] = refuse
    folder = pathlib.Path(__file__).parent
    results = []
    for source in (folder / "snippets.txt").read_text().split("\n\n"):
        try:
            rendered = environment.from_string(source).render(messages=CONVERSATION, bos_token="<s>")
        except Exception as error:
            rendered = None
            print(f"refused ({error}): {source}")
        results.append({"template": source, "rendered": rendered})
    lines = ",\n".join(json.dumps(result, ensure_ascii=False) for result in results)
    (folder / "snippets.json").write_text(f"[\n{lines}\n]\n")
    print(f"{len(results)} snippets")


class Generation(Extension):
    """The tag of training sets, as Hugging Face's libraries have it."""

    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


if __name__ == "__main__":
    main()
