#!/usr/bin/env python3
"""Writes Tests/Fixtures/tokenizer/vectors.bin: what the reference implementation makes of many texts.

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3
    venv/bin/python Tests/Fixtures/tokenizer/generate_vectors.py

The same version of the package gives the same file. Its layout, little-endian:

    file     = "MOEDTOK1" u32 variants, variant*
    variant  = blob overrides (JSON laid over the demo's tokenizer.json), u32 texts, text*, u32 decodings, decoding*
    text     = blob utf8, ids parsed, ids asText, ids literal, blob decoded
    decoding = ids, u8 skipSpecial, blob utf8
    blob     = u32 length, bytes            ids = u32 count, u16*
    A length or count of 0xFFFFFFFF means "the same as `parsed`" (for ids) or "the same as the text" (for `decoded`).
"""
import json
import pathlib
import random
import struct

from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[3]
DEMO = json.loads((ROOT / "packaging/demo/tokenizer.json").read_text())
SAMPLES = (ROOT / "packaging/demo/samples.txt").read_text()
SAME = struct.pack("<I", 0xFFFFFFFF)
WORDS = SAMPLES.split()
VOCABULARY = DEMO["model"]["vocab"]
ADDED = [token["content"] for token in DEMO["added_tokens"]]

SPACES = [*map(chr, range(9, 14)), " ", "\x85", "\xa0", "\u1680", *map(chr, range(0x2000, 0x200B)),
          "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\u180e", "\u200b", "\ufeff"]
# First and last code points of the blocks that random text is drawn from.
BLOCKS = [(0x20, 0x7E), (0xA0, 0xFF), (0x100, 0x24F), (0x250, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x531, 0x58F),
          (0x591, 0x5F4), (0x600, 0x6FF), (0x840, 0x8FF), (0x900, 0x97F), (0xB80, 0xBFF), (0xE00, 0xE5B),
          (0xF00, 0xFFF), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x13A0, 0x13FD), (0x1B00, 0x1B7F), (0x1C80, 0x1C8F),
          (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x218F), (0x2190, 0x243F), (0x2460, 0x27BF), (0x2FF0, 0x2FFF),
          (0x3000, 0x30FF), (0x3100, 0x319F), (0x31E0, 0x33FF), (0x4E00, 0x9FFF), (0xA000, 0xA4C6), (0xA640, 0xA7FF),
          (0xAC00, 0xD7A3), (0xE000, 0xE010), (0xF900, 0xFFFD), (0x10000, 0x100FF), (0x10400, 0x104FF),
          (0x105C0, 0x105FF), (0x10D40, 0x10D8F), (0x11380, 0x113FF), (0x116D0, 0x116E3), (0x11F00, 0x11F5A),
          (0x16100, 0x1613F), (0x1D400, 0x1D7FF), (0x1E4D0, 0x1E5FF), (0x1F000, 0x1FBFF), (0x20000, 0x2A6DF),
          (0x2B739, 0x2B740), (0x2EBF0, 0x2EE5D), (0x31350, 0x323AF), (0xE0001, 0xE01EF), (0x10FFF0, 0x10FFFF)]
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🇩🇪", "🏳️‍🌈", "❤️", "1️⃣", "🫨", "🪿", "🫩", "🩷", "🐦‍🔥", "☕", "✨", "🧑🏿‍🚀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
PUNCTUATION = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»§¶·‐–—‘’“”„…‹›€£¥©®™°±×÷←↑→↓∀∂∑√∞≈≠≤≥「」。、・！？")
CODE = ["def f(x):\n\treturn x**2", "for (int i = 0; i < n; ++i) {\r\n  a[i] += 1;\r\n}", "SELECT * FROM t WHERE a='b';",
        "https://example.org/a/b?c=d&e=f#g", "{\"key\": [1, 2.5e-10, null]}", "x = \"\\u00e9\\n\"", "<p class='a'>&amp;</p>",
        "/* don't */ let y = x!.count ?? 0 // I'm", "1 + 1 = 2; 10**100", "user@example.com", "C:\\Users\\name"]


def scalar(generator):
    while True:
        first, last = generator.choice(BLOCKS)
        code = generator.randint(first, last)
        if not 0xD800 <= code <= 0xDFFF:
            return chr(code)


def run(generator, first, last):
    """Characters of one block, as words of one script are."""
    return "".join(chr(generator.randint(first, last)) for _ in range(generator.randint(1, 10)))


def prose(generator):
    start = generator.randrange(len(SAMPLES) - 130)
    return SAMPLES[start:start + generator.randint(1, 70)]


def scripts(generator):
    parts = [run(generator, *generator.choice(BLOCKS)) for _ in range(generator.randint(1, 3))]
    return generator.choice(["", " ", "\n", "7", ", "]).join(parts)


def mixed(generator):
    return "".join(scalar(generator) for _ in range(generator.randint(1, 12)))


def spaces(generator):
    text = ""
    for _ in range(generator.randint(1, 5)):
        text += generator.choice(SPACES) * generator.choice([1, 1, 2, 3, 7])
        text += generator.choice(["", "", "a", "Once", "1", ".", "\r\n", "\n\n", "é", "中"])
    return text


def numbers(generator):
    digits = generator.choice(["0123456789", "0123456789", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "Ⅳ½²①〇𐵀𐵁𛲠"])
    text = "".join(generator.choice(digits) for _ in range(generator.randint(1, 14)))
    return generator.choice(["", " ", "$", "-", "a", "第"]) + text + generator.choice(["", "%", " 1", ".5", "th", ",000"])


def punctuation(generator):
    text = "".join(generator.choice(PUNCTUATION) for _ in range(generator.randint(1, 8)))
    return generator.choice(["", " ", "a", "  "]) + text + generator.choice(["", "\n", "\r\n\r\n", " b", "b", "!word"])


def emoji(generator):
    return "".join(generator.choice([*EMOJI, *EMOJI, " ", "a", "\n"]) for _ in range(generator.randint(1, 5)))


def controls(generator):
    alphabet = [*map(chr, range(0, 32)), "\x7f", "\x80", "\x9f", "\r\n", "\r\n", "\n\r", "a", "B", " ", "word", "\u200d"]
    return "".join(generator.choice(alphabet) for _ in range(generator.randint(1, 9)))


def lines(generator):
    end = generator.choice(["\r\n", "\n", "\r", "\n\n", "\r\n\r\n", " \n", "\n  "])
    return end.join(" ".join(generator.choices(WORDS, k=generator.randint(0, 3))) for _ in range(generator.randint(2, 4)))


def added(generator):
    text = ""
    for _ in range(generator.randint(1, 4)):
        token = generator.choice(ADDED)
        cut = generator.randint(0, len(token))
        text += generator.choice([token, token, token, token[:cut], token[cut:], token[:cut] + token, token.upper()])
        text += generator.choice(["", "", " ", "  ", "\n", "a", "Once", "1", "<", ">", "é", "\u0301", " the dog"])
    return text


def code(generator):
    return generator.choice(["", " ", "\n", "    "]) + generator.choice(CODE) + generator.choice(CODE)[:generator.randint(0, 9)]


LONG = ["a" * 3000, "ab" * 1500, "A" * 2000, " " * 2500, " " * 2000 + "x", "\n" * 1500, " \n" * 700, "\t" * 999 + "1",
        "7" * 1000, "!" * 2000, "." * 1499 + "\n", "é" * 900, "中" * 800, "😀" * 400, "the" * 800, "\u0301" * 600,
        "a\u0301" * 400, "-" * 49, "-" * 48, "-" * 47, "x" * 48, "x" * 49, "\u00a0" * 700, "<｜User｜>" * 100,
        "<think>" * 60 + "</think>" * 60, "Once upon a time " * 100, "þ" * 300, "\x00" * 600, SAMPLES[:2500]]
KINDS = [(prose, 2600), (scripts, 2200), (mixed, 1300), (spaces, 1100), (numbers, 800), (punctuation, 900),
         (emoji, 450), (controls, 650), (lines, 500), (added, 1100), (code, 250)]


def texts(generator, share):
    result = [""] if share == 1 else []
    for kind, count in KINDS:
        result += [kind(generator) for _ in range(max(4, int(count * share)))]
    return result


def split(pattern, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": "Isolated", "invert": False}


def byte_level(use_regex=False):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def stages(*parts):
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [*parts, byte_level()]}}


def flags(id, content, **keys):
    base = dict(id=id, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
    return base | keys


CONTRACTIONS = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
ANY_CASE = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
CAPITALS = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
VARIANTS = [
    {},
    stages(split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[一-龥ࠀ-一가-퟿]+"),
           {"type": "Digits", "individual_digits": True}),
    stages(split("[\r\n]"), split(r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿ𐐀-𐑏]+"), split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), split(r"\s+$"),
           split("[一-龥ࠀ-一가-퟿]+"), {"type": "Digits", "individual_digits": False}),
    stages(split(CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + TAIL)),
    stages(split(ANY_CASE + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + TAIL)) | {"model": {"ignore_merges": True}},
    stages(split(CAPITALS + ANY_CASE + r"?|\p{N}{1,3}" + TAIL), split("the", "String"), split(r"\p{Han}+|\d\D|\u0301")),
    {"pre_tokenizer": byte_level(use_regex=True), "post_processor": byte_level()},
    {"added_tokens": [
        flags(0, ADDED[0], special=True), flags(3, "<｜User｜>", special=True, lstrip=True, rstrip=True),
        flags(5, "<think>", single_word=True), flags(6, "</think>", rstrip=True, normalized=True),
        flags(7, ADDED[7], lstrip=True), flags(VOCABULARY["Once"], "Once", single_word=True, normalized=True),
        flags(4096, "the dog", special=True), flags(VOCABULARY["é"], "é"), flags(4097, "\r\n", normalized=True)]},
]


def tokenizer(overrides, merges=DEMO["model"]["merges"], **changes):
    definition = DEMO | overrides | changes
    definition["model"] = DEMO["model"] | overrides.get("model", {}) | {"merges": merges}
    result = Tokenizer.from_str(json.dumps(definition))
    # The reference gives ids out itself, whatever the file says.
    for token in definition["added_tokens"]:
        if result.token_to_id(token["content"]) != token["id"]:
            raise SystemExit(f"{token} became {result.token_to_id(token['content'])}")
    return result


def blob(data):
    return struct.pack("<I", len(data)) + data


def ids(values):
    return struct.pack(f"<I{len(values)}H", len(values), *values)


def main():
    out = [b"MOEDTOK1", struct.pack("<I", len(VARIANTS))]
    total = 0
    for index, overrides in enumerate(VARIANTS):
        generator = random.Random(1000 + index)
        parsed = tokenizer(overrides)
        as_text = tokenizer(overrides)
        as_text.encode_special_tokens = True
        # Without added tokens, and without the merges that make one, the reference takes all of a text literally.
        contents = {token["content"] for token in (DEMO | overrides)["added_tokens"]}
        merges = [pair for pair in DEMO["model"]["merges"] if "".join(pair) not in contents]
        literal = tokenizer(overrides, added_tokens=[], post_processor=None, merges=merges)
        inputs = texts(generator, 1 if index == 0 else 0.03) + (LONG if index == 0 else LONG[::3])
        out += [blob(json.dumps(overrides).encode() if overrides else b"{}"), struct.pack("<I", len(inputs))]
        for text in inputs:
            expected = parsed.encode(text, add_special_tokens=False).ids
            out += [blob(text.encode()), ids(expected)]
            for other in (as_text, literal):
                other_ids = other.encode(text, add_special_tokens=False).ids
                out.append(SAME if other_ids == expected else ids(other_ids))
            decoded = parsed.decode(expected, skip_special_tokens=False)
            out.append(SAME if decoded == text else blob(decoded.encode()))
        total += len(inputs)
        decodings = [[generator.choice([generator.randrange(4096), generator.randrange(10, 280)])
                      for _ in range(generator.randint(0, 16))] for _ in range(1200 if index == 0 else 20)]
        out.append(struct.pack("<I", len(decodings)))
        for number, values in enumerate(decodings):
            skip = number % 2 == 1
            out += [ids(values), struct.pack("<B", skip), blob(parsed.decode(values, skip_special_tokens=skip).encode())]
    data = b"".join(out)
    path = ROOT / "Tests/Fixtures/tokenizer/vectors.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(f"{total} texts, {len(data)} bytes in {path}")


if __name__ == "__main__":
    main()
