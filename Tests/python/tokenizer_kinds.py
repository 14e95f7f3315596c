#!/usr/bin/env python3
"""Writes what the reference implementation makes of many texts with tokenizers of every kind.

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3 sentencepiece==0.2.3 tiktoken==0.14.0
    venv/bin/python Tests/python/tokenizer_kinds.py          # writes kinds.bin and kinds.json
    venv/bin/python Tests/python/tokenizer_kinds.py train    # also trains the small vocabularies anew

The vocabularies are trained on texts of this project. The texts that are encoded are the ones of the first variant in
`vectors.bin`, 9,200 of them, and some more that stand in the file. Its layout, little-endian:

    file     = "MOEDTOK2" u32 texts, blob*, u32 kinds, kind*
    kind     = blob name, blob base, blob overrides (JSON laid over the base), u32 texts, u16*, u32 decodings, u16*
    blob     = u32 length, bytes

A u16 is the folded FNV-1a of ids and decoded text, so that each text has a check of its own; ids that are decoded come
from SplitMix64. A base is a `tokenizer.json` of the fixtures, or one of the other forms in `tokenizer_vocabularies.py`. A kind
whose base begins with a slash needs the third-party data in `../shared`, and is written only where they are. `kinds.json`
has a few dozen readable ones.
"""
import json
import random
import struct
import sys

from tokenizer_vocabularies import (COUNT, FIXTURES, METASPACE, ROOT, SHARED, Described, Pieces, Ranks, gguf_values, special,
                                    texts_of_vectors, train)

MASK = (1 << 64) - 1


# MARK: kinds

def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def stages(*parts):
    bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [*parts, bytes]}}


def sequence(*steps):
    return {"normalizer": {"type": "Sequence", "normalizers": list(steps)}}


PRECOMPILED = "precompiled"  # Stands for the fixture's own step.
TIDY = [{"type": "Strip", "strip_left": False, "strip_right": True},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}]
NO_MARK = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": False}


def kinds(bases):
    characters = bases["characters"]
    count = len(characters["model"]["vocab"])
    tokens = characters["added_tokens"]
    flags = lambda id, content, **keys: special(id, content, **({"special": False} | keys))
    extra = bases["unigram"]["added_tokens"]
    own = bases["unigram"]["normalizer"]
    result = [
        ("characters", "characters", {}),
        ("characters that begin with no space", "characters", sequence(
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"})),
        ("characters with marks at the beginning only", "characters", {
            "normalizer": None, "pre_tokenizer": METASPACE | {"prepend_scheme": "first", "split": False},
            "decoder": METASPACE}),
        ("characters, unknown ones fused", "characters", {"model": {"byte_fallback": False}}),
        ("characters, unknown ones apart", "characters", {"model": {"byte_fallback": False, "fuse_unk": False}}),
        ("characters, whole pieces first", "characters", {
            "model": {"ignore_merges": True}, "normalizer": None, "pre_tokenizer": METASPACE}),
        ("phrases", "phrases", {}),
        ("characters with added tokens", "characters", {"added_tokens": tokens + [
            flags(count, "<tool>", lstrip=True), flags(count + 1, "Tim", single_word=True),
            flags(count + 2, "the dog", normalized=True), flags(count + 3, "<end>", rstrip=True, normalized=True),
            flags(characters["model"]["vocab"]["é"], "é", normalized=True), special(count + 4, "<mask>", lstrip=True, rstrip=True)]}),
        ("unigram", "unigram", {}),
        ("unigram, marks only", "unigram", {"pre_tokenizer": METASPACE}),
        ("unigram, tidied", "unigram", sequence(own, *TIDY) | {"pre_tokenizer": METASPACE}),
        ("unigram, not cut", "unigram", {"normalizer": None, "pre_tokenizer": NO_MARK, "decoder": NO_MARK}),
        ("unigram with added tokens", "unigram", {"pre_tokenizer": METASPACE | {"prepend_scheme": "first"},
                                                 "added_tokens": [
            extra[0], extra[1] | {"lstrip": True}, extra[2], extra[3] | {"normalized": True},
            extra[4] | {"special": False, "rstrip": True}, extra[5], extra[6] | {"special": False}]}),
        ("composed", "demo", {"normalizer": {"type": "NFC"}} | stages(split(
            r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"))),
        ("cut words", "demo", stages(split(r"[\p{Lu}\p{Lt}\p{Lo}\p{M}&&[^\p{Han}]&&[^\p{Lm}a-f]]+|[a-y&&[^e]]", "Removed"),
                                     split("e", "MergedWithPrevious", kind="String"))),
        ("matches kept", "demo", stages(split(r"\p{L}+|\p{N}{1,3}|[^\s\p{L}\p{N}]+", "Removed", True),
                                        split("an|[aeiou]", "MergedWithNext"), split("l", "Contiguous"))),
        ("marks before and after", "demo", stages(split(r"\s", "MergedWithNext"), split("[,.;!?]", "MergedWithPrevious"),
                                                  split("[0-9]", "Contiguous", True))),
        ("ranks", "tiktoken", {}),
        ("pieces of a GGUF file", "pieces", {}),
    ]
    if SHARED.exists():
        for name, patterns in json.loads((SHARED / "pretokenizer_regexes.json").read_text()).items():
            if isinstance(patterns, list):
                result.append((name, "/pre-tokenizer", stages(*map(split, patterns))))
        for name in ("deepseek-llm", "deepseek-coder"):
            result.append((f"vocabulary of {name}", f"/{name}", {}))
    return result


def vocabulary_file(name):
    """`tokenizer.json` of a GGUF file, with the patterns as they were collected."""
    values = gguf_values(SHARED / f"ggml-vocab-{name}.gguf")
    tokens, types = values["tokenizer.ggml.tokens"], values["tokenizer.ggml.token_type"]
    added = [special(id, token, special=types[id] == 3) for id, token in enumerate(tokens)
             if types[id] != 1 and token != f"[PAD{id}]"]
    patterns = json.loads((SHARED / "pretokenizer_regexes.json").read_text())[name]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                      "vocab": {token: id for id, token in enumerate(tokens)},
                      "merges": [merge.split(" ") for merge in values["tokenizer.ggml.merges"]]}
            } | stages(*map(split, patterns))


# MARK: vectors

PARTS = ["▁", "▁▁", " ", "  ", "<s>", "</s>", "<unk>", "<pad>", "<0x0A>", "<0xE2>", "<tool>", "<end>", "<mask>", "Tim",
         "Timmy", "the dog", "<extra_id_0>", "<extra_id_1>", "<extra_id_2>", "é", "e\u0301", "E\u0323\u0302", "한국",
         "\u1112\u1161\u11ab", "\u0600a", "\u0600\u0601b", "a\u0903", "a\u200d", "\u200db", "\r\n", "\r", "\n", "\u2126",
         "ﬁ", "①", "Ａ", "ｶﾞ", "eee", "eeeee", "ooo", "ooooo", "word", " word", "\u00a0", "\u3000", "\t", "中", "😀",
         "\u0301", "\u0345\u0301", "a\u0334\u0301\u0327", "'s", "'S", "'ſ", "'ll", "\x00", "\u0378", "x\u07fd\u0334",
         "\U00011935\U00011930", "\u0915\u094d\u0937", "का", "ك", "لا", "1²", "½", "K", "\ufeff"]
LONG = ["▁" * 900, " " * 900, "a" * 1500, "the dog " * 200, "中" * 700, "\U0001F600" * 300, "e\u0301" * 500,
        "\u0301\u0334" * 400, "<s>" * 200, "x▁" * 500, "eee" * 500, "\r\n" * 300, "\u0600" * 400]


def more_texts():
    generator = random.Random(77)
    texts = ["".join(generator.choice(PARTS) for _ in range(generator.randint(1, 6))) for _ in range(1200)]
    return texts + LONG


def check(ids, text):
    value = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(ids)}I", *ids) + b"\xff" + text.encode():
        value = (value ^ byte) * 0x100000001B3 & MASK
    return (value ^ value >> 16 ^ value >> 32 ^ value >> 48) & 0xFFFF


class SplitMix:
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        value = self.state
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK
        value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK
        return value ^ value >> 31


def decodings(size):
    """Lists of ids: half of the ids are among the first 300, where single bytes are."""
    generator = SplitMix(5)
    result = []
    for _ in range(1000):
        count = generator.next() % 12
        result.append([generator.next() % (300 if generator.next() & 1 else size) for _ in range(count)])
    return result


def blob(data):
    return struct.pack("<I", len(data)) + data


def laid_over(base, overrides):
    definition = base | {key: value for key, value in overrides.items() if key != "model"}
    return definition | {"model": base["model"] | overrides.get("model", {})}


def reference(base, definition):
    if base == "tiktoken":
        return Ranks(FIXTURES / "tiktoken")
    return Pieces() if base == "pieces" else Described(definition)


def main():
    FIXTURES.mkdir(exist_ok=True)
    if "train" in sys.argv:
        train()
    bases = {name: json.loads((FIXTURES / f"{name}.json").read_text()) for name in ("characters", "phrases", "unigram")}
    bases["demo"] = json.loads((ROOT / "packaging/demo/tokenizer.json").read_text())
    more = more_texts()
    texts = texts_of_vectors()[:COUNT] + more
    out = [b"MOEDTOK2", struct.pack("<I", len(more)), *(blob(text.encode()) for text in more)]
    readable = []
    listed = kinds(bases)
    out.append(struct.pack("<I", len(listed)))
    for name, base, overrides in listed:
        if base == "/pre-tokenizer":
            definition = laid_over(bases["demo"], overrides)
        elif base.startswith("/"):
            definition = vocabulary_file(base[1:])
        else:
            definition = laid_over(bases[base], overrides) if base in bases else None
        tokenizer = reference(base, definition)
        checks = []
        for text in texts:
            ids = tokenizer.encode(text)
            checks.append(check(ids, tokenizer.decode(ids, skip_special_tokens=False)))
        decoded = [check(ids, tokenizer.decode(ids, skip_special_tokens=index % 2 == 1))
                   for index, ids in enumerate(decodings(tokenizer.size))]
        hidden = base.startswith("/")
        out += [blob(name.encode()), blob(base.encode()), blob(b"{}" if hidden else json.dumps(overrides).encode())]
        out += [struct.pack(f"<I{len(checks)}H", len(checks), *checks)]
        out += [struct.pack(f"<I{len(decoded)}H", len(decoded), *decoded)]
        if definition and not hidden:
            full = tokenizer.tokenizer
            vocabulary = {id: token for token, id in full.get_vocab().items()}
            for text in READABLE:
                encoding = full.encode(text, add_special_tokens=True)
                readable.append({"kind": name, "text": text, "tokens": [vocabulary[id] for id in encoding.ids],
                                 "decoded": full.decode(encoding.ids, skip_special_tokens=True)})
        print(name)
    (FIXTURES / "kinds.bin").write_bytes(b"".join(out))
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in readable)
    (FIXTURES / "kinds.json").write_text(f"[\n{lines}\n]\n")
    print(len(texts), "texts,", sum(map(len, out)), "bytes")


READABLE = ["Once upon a time, Tim saw the dog.", " two  spaces ", "<s>Größe: 12 €</s>\n", "naïve ﬁancée 中文 😀"]

if __name__ == "__main__":
    main()
