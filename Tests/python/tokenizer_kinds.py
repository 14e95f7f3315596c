#!/usr/bin/env python3
"""Writes what the reference implementation makes of many texts with tokenizers of every kind.

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3 sentencepiece==0.2.3
    venv/bin/python Tests/python/tokenizer_kinds.py          # writes kinds.bin and kinds.json
    venv/bin/python Tests/python/tokenizer_kinds.py train    # also trains the small vocabularies anew

The vocabularies are trained on texts of this project. The texts that are encoded are the ones of the first variant in
`vectors.bin`, 9,200 of them, and some more that stand in the file. Its layout, little-endian:

    file     = "MOEDTOK2" u32 texts, blob*, u32 kinds, kind*
    kind     = blob name, blob base, blob overrides (JSON laid over the base), u32 texts, u16*, u32 decodings, u16*
    blob     = u32 length, bytes

A u16 is the folded FNV-1a of ids and decoded text, so that each text has a check of its own; ids that are decoded come
from SplitMix64. A kind whose base begins with a slash needs the third-party data in `../shared`, and is written only
where they are. `kinds.json` has a few dozen readable ones.
"""
import json
import pathlib
import random
import struct
import sys
import tempfile
import unicodedata

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "Tests/Fixtures/tokenizer"
SHARED = ROOT.parent / "shared/data"
SAMPLES = (ROOT / "packaging/demo/samples.txt").read_text()
FOREIGN = """Der Fuchs läuft über die Straße, größer als je zuvor. Über allen Gipfeln ist Ruh.
L'été dernier, où étiez-vous ? Ça alors, un garçon naïf à Orléans : « Noël » déjà !
Мы идём домой вечером, и снег падает на город. Что вы делаете завтра?
Η θάλασσα είναι ήρεμη σήμερα. Πού πας;
今天天气很好，我们去公园散步吧。你好，世界！
東京の天気は晴れです。ありがとうございます。
오늘은 날씨가 좋습니다. 안녕하세요.
שלום עולם. مرحبا بالعالم، كيف حالك؟ नमस्ते दुनिया।
Temperature: 21.5 °C — “quoted”, ‘single’ … 100 % of 1,234,567 € and 3×4=12.
"""
LINES = SAMPLES.splitlines() + FOREIGN.splitlines() * 4
COUNT = 9200
MASK = (1 << 64) - 1


# MARK: vocabularies

def mark_spaces(prepends=True):
    steps = [normalizers.Prepend("▁")] if prepends else []
    return normalizers.Sequence(steps + [normalizers.Replace(" ", "▁")])


def special(id, content, **flags):
    return dict(id=id, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False,
                special=True) | flags


def train_characters(splits, size):
    """Byte-pair encoding of characters with byte fallback, as Mixtral has it."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = mark_spaces()
    if splits:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="never", split=True)
    reserved = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    lines = [line for line in LINES if len(line) < 400]
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=size, special_tokens=reserved, limit_alphabet=110, show_progress=False))
    definition = json.loads(tokenizer.to_str())
    definition["pre_tokenizer"] = None
    definition["added_tokens"] = [special(id, content) for id, content in enumerate(reserved[:3])]
    definition["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    definition["post_processor"] = {
        "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                                 {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    return definition


def charsmap():
    """SentencePiece's compiled table of rules like those of NFKC, for the scripts that the vocabulary knows."""
    import sentencepiece
    rules = {}
    for code in [*range(1, 0x3400), *range(0xFB00, 0xFB50), *range(0xFF01, 0xFFE7)]:
        text = chr(code)
        category = unicodedata.category(text)
        if code in (0x200B, 0xFEFF, 0x200E, 0x200F) or (code < 32 and code not in (9, 10, 13)) or code == 127:
            rules[text] = ""
        elif category in ("Zs", "Zl", "Zp") or code in (9, 10, 13):
            rules[text] = " "
        elif unicodedata.normalize("NFKC", text) != text:
            rules[text] = unicodedata.normalize("NFKC", text)
        if len(unicodedata.normalize("NFD", text)) > 1:
            rules[unicodedata.normalize("NFD", text)] = unicodedata.normalize("NFKC", text)
    rules = {source: target for source, target in rules.items() if source != target}
    with tempfile.TemporaryDirectory() as folder:
        table = pathlib.Path(folder, "rules.tsv")
        table.write_text("".join(
            " ".join(f"{ord(c):X}" for c in source) + "\t" + " ".join(f"{ord(c):X}" for c in target) + "\n"
            for source, target in sorted(rules.items())))
        text = pathlib.Path(folder, "text.txt")
        text.write_text(SAMPLES)
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=f"{folder}/m", vocab_size=200, normalization_rule_tsv=str(table),
            minloglevel=2)
        return find_charsmap(pathlib.Path(folder, "m.model").read_bytes())


def find_charsmap(model):
    """Field 2 of field 3 of the model's protocol buffer."""
    def fields(data):
        position = 0
        def number():
            nonlocal position
            value = shift = 0
            while True:
                byte = data[position]
                position += 1
                value |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    return value
        while position < len(data):
            key = number()
            if key & 7 == 2:
                count = number()
                yield key >> 3, data[position:position + count]
                position += count
            elif key & 7 == 0:
                number()
            else:
                position += {1: 8, 5: 4}[key & 7]
    specification = next(value for field, value in fields(model) if field == 3)
    return next(value for field, value in fields(specification) if field == 2)


def train_unigram():
    import base64
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(LINES, trainers.UnigramTrainer(
        vocab_size=800, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    definition = json.loads(tokenizer.to_str())
    vocabulary = definition["model"]["vocab"]
    # Some that are equally likely, and the tokens that stand for spans.
    vocabulary += [["ee", -9.5], ["eee", -9.5], ["eeee", -19.0], ["oo", -9.5], ["ooo", -14.25]]
    definition["model"]["vocab"] = vocabulary + [[f"<extra_id_{i}>", 0.0] for i in range(4)]
    count = len(vocabulary)
    definition["added_tokens"] = [special(id, content) for id, content in enumerate(["<pad>", "</s>", "<unk>"])]
    definition["added_tokens"] += [special(count + i, f"<extra_id_{i}>") for i in range(4)]
    definition["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap()).decode()}
    definition["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "WhitespaceSplit"}, METASPACE]}
    definition["decoder"] = METASPACE
    definition["post_processor"] = {
        "type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}},
                                                 {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}}
    return definition


METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}


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
    data = (SHARED / f"ggml-vocab-{name}.gguf").read_bytes()
    position = 24
    sizes = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def read(kind):
        nonlocal position
        if kind == 8:
            count = read(10)
            position += count
            return data[position - count:position].decode()
        if kind == 9:
            element, count = read(4), read(10)
            return [read(element) for _ in range(count)]
        value, = struct.unpack_from("<" + sizes[kind], data, position)
        position += struct.calcsize(sizes[kind])
        return value
    values = {}
    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        key = read(8)
        values[key] = read(read(4))
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

def texts_of_vectors():
    data = (FIXTURES / "vectors.bin").read_bytes()
    position = 12

    def blob(size=1):
        nonlocal position
        count, = struct.unpack_from("<I", data, position)
        position += 4
        if count == 0xFFFFFFFF:
            return b""
        position += size * count
        return data[position - size * count:position]
    blob()
    count, = struct.unpack_from("<I", data, position)
    position += 4
    texts = []
    for _ in range(count):
        texts.append(blob().decode())
        for _ in range(3):
            blob(2)
        blob()
    return texts


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


def main():
    FIXTURES.mkdir(exist_ok=True)
    if "train" in sys.argv:
        for name, definition in [("characters", train_characters(True, 900)), ("phrases", train_characters(False, 700)),
                                 ("unigram", train_unigram())]:
            (FIXTURES / f"{name}.json").write_text(json.dumps(definition, ensure_ascii=False, indent=0) + "\n")
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
            definition = laid_over(bases[base], overrides)
        reference = Tokenizer.from_str(json.dumps(definition))
        for token in definition["added_tokens"]:
            assert reference.token_to_id(token["content"]) == token["id"], token
        checks = []
        for text in texts:
            ids = reference.encode(text, add_special_tokens=False).ids
            checks.append(check(ids, reference.decode(ids, skip_special_tokens=False)))
        size = max(reference.get_vocab().values()) + 1
        decoded = [check(ids, reference.decode(ids, skip_special_tokens=index % 2 == 1))
                   for index, ids in enumerate(decodings(size))]
        hidden = base.startswith("/")
        out += [blob(name.encode()), blob(base.encode()), blob(b"{}" if hidden else json.dumps(overrides).encode())]
        out += [struct.pack(f"<I{len(checks)}H", len(checks), *checks)]
        out += [struct.pack(f"<I{len(decoded)}H", len(decoded), *decoded)]
        if not hidden:
            vocabulary = {id: token for token, id in reference.get_vocab().items()}
            for text in READABLE:
                encoding = reference.encode(text, add_special_tokens=True)
                readable.append({"kind": name, "text": text, "tokens": [vocabulary[id] for id in encoding.ids],
                                 "decoded": reference.decode(encoding.ids, skip_special_tokens=True)})
        print(name)
    (FIXTURES / "kinds.bin").write_bytes(b"".join(out))
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in readable)
    (FIXTURES / "kinds.json").write_text(f"[\n{lines}\n]\n")
    print(len(texts), "texts,", sum(map(len, out)), "bytes")


READABLE = ["Once upon a time, Tim saw the dog.", " two  spaces ", "<s>Größe: 12 €</s>\n", "naïve ﬁancée 中文 😀"]

if __name__ == "__main__":
    main()
