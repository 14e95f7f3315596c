"""The small vocabularies of the tokenizer tests, how they are trained, and what reads them for reference."""
import base64
import collections
import json
import pathlib
import struct
import tempfile
import unicodedata

import sentencepiece
import tiktoken
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

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


def gguf_values(path):
    data = path.read_bytes()
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
    return values


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


def write_words():
    """`words.json`: a Unigram vocabulary for the Switch checkpoint, in which a text of whole words gets the ids that the
    checkpoint's reference outputs are of."""
    unigram = json.loads((FIXTURES / "unigram.json").read_text())
    golden = [83, 138, 123, 195, 41, 5, 248, 169, 95, 152, 17, 100, 24, 70, 16, 250, 162, 84, 208, 210, 219, 223, 102, 232,
              180, 224, 139, 175, 174, 39, 248, 236, 142, 247, 26, 133, 158, 130, 55]
    trained = unigram["model"]["vocab"][3:]
    words = [entry for entry in trained if entry[0].startswith("▁") and len(entry[0]) > 3 and entry[0][1:].isalpha()]
    chosen = dict(zip(dict.fromkeys(golden), words))
    letters = [[chr(code), -12.0] for code in range(33, 127)]
    known = {piece for piece, _ in list(chosen.values()) + letters}
    rest = iter(letters + [entry for entry in trained if entry[0] not in known])
    vocabulary = [*unigram["model"]["vocab"][:3]]
    vocabulary += [chosen[id] if id in chosen else next(rest) for id in range(3, 256)]
    definition = unigram | {"added_tokens": unigram["added_tokens"][:3],
                            "model": unigram["model"] | {"vocab": vocabulary}}
    tokenizer = Tokenizer.from_str(json.dumps(definition))
    text = " ".join(chosen[id][0][1:] for id in golden)
    assert tokenizer.encode(text).ids == golden + [1]
    (FIXTURES / "words.json").write_text(json.dumps(definition, ensure_ascii=False, indent=0) + "\n")
    print(text, "|", tokenizer.decode([174] * 24))


# MARK: vocabularies in other forms

# Moonlight's and Kimi-K2's.
KIMI = "|".join([
    r"[\p{Han}]+",
    *(r"[^\r\n\p{L}\p{N}]?" + words + "(?i:'s|'t|'re|'ve|'m|'ll|'d)?" for words in (
        r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+",
        r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*")),
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
NAMED = [("[BOS]", True), ("[EOS]", True), ("<|im_end|>", True), ("<|im_user|>", True), ("<|im_assistant|>", True),
         ("<|im_system|>", True), ("<|im_middle|>", True), ("<think>", False), ("</think>", False), ("<tool>", False),
         ("<s>", True), ("</s>", True), ("<unk>", True)]


def kimi_stages():
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(KIMI), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def byte_alphabet():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + place) for place, byte in enumerate(others)}


ALPHABET = byte_alphabet()


def train_ranks():
    """`tiktoken.model` and its `tokenizer_config.json`. The last ranks are tokens that no training would put there: whole
    words and runs, and tokens that only others of a higher rank make."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = kimi_stages()
    tokenizer.train_from_iterator(LINES, trainers.BpeTrainer(
        vocab_size=1100, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    bytes_of = {character: byte for byte, character in ALPHABET.items()}
    vocabulary = json.loads(tokenizer.to_str())["model"]["vocab"]
    tokens = [bytes(bytes_of[character] for character in token) for token in sorted(vocabulary, key=vocabulary.get)]
    words = sorted({word for line in LINES for word in line.split() if word.isalpha()}, key=lambda word: (-len(word), word))
    more = [run * count for count in (16, 12, 8, 6, 4, 3) for run in (" ", "-", "▁", "e", "ooo")]
    more = [text.encode() for text in more + [" " + word for word in words[:60]] + words[60:80]]
    more += threes(tokens)
    tokens += [token for token in dict.fromkeys(more) if token not in tokens]
    folder = FIXTURES / "tiktoken"
    folder.mkdir(exist_ok=True)
    (folder / "tiktoken.model").write_text("".join(
        f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens)))
    named = {str(len(tokens) + place): dict(content=name, lstrip=False, normalized=False, rstrip=False, single_word=False,
                                            special=special) for place, (name, special) in enumerate(NAMED)}
    template = ("{% for message in messages %}<|im_{{ message.role }}|>{{ message.role }}<|im_middle|>"
                "{{ message.content }}<|im_end|>{% endfor %}"
                "{% if add_generation_prompt %}<|im_assistant|>assistant<|im_middle|>{% endif %}")
    config = dict(added_tokens_decoder=named, bos_token="[BOS]", eos_token="[EOS]", tokenizer_class="TikTokenTokenizer",
                  chat_template=template)
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")


def threes(tokens):
    """Of three tokens that often follow each other: all of them, and then the last two, without which nothing makes them."""
    ranks = {token: rank for rank, token in enumerate(tokens)}
    encoding = tiktoken.Encoding("trained", pat_str=KIMI, mergeable_ranks=ranks, special_tokens={})
    found = collections.Counter()
    for text in texts_of_vectors()[:COUNT]:
        for word in text.split(" "):
            parts = encoding.decode_tokens_bytes(encoding.encode_ordinary(word)) if word.isalpha() else []
            found.update((first, second, third) for first, second, third in zip(parts, parts[1:], parts[2:])
                         if first + second not in ranks and second + third not in ranks)
    often = sorted(found, key=lambda three: (-found[three], three))[:40]
    return [token for three in often for token in (b"".join(three), three[1] + three[2])]


class Ranks:
    """The reference for `tiktoken.model`: tiktoken itself, with the special tokens of the class that is published with
    such files. The merges that are derived from the ranks must give the same."""

    def __init__(self, folder):
        lines = (folder / "tiktoken.model").read_text().splitlines()
        self.ranks = {base64.b64decode(token): int(rank) for token, rank in map(str.split, lines)}
        config = json.loads((folder / "tokenizer_config.json").read_text())
        count = len(self.ranks)
        names = {int(id): token["content"] for id, token in config["added_tokens_decoder"].items()}
        self.special = {names.get(id, f"<|reserved_token_{id}|>"): id for id in range(count, count + 256)}
        self.skipped = {id for id in range(count, count + 256)
                        if config["added_tokens_decoder"].get(str(id), {"special": True})["special"]}
        self.encoding = tiktoken.Encoding("fixture", pat_str=KIMI, mergeable_ranks=self.ranks, special_tokens=self.special)
        self.derived = self.merging()

    def merging(self):
        text = lambda token: "".join(ALPHABET[byte] for byte in token)
        merges = []
        for token, rank in sorted(self.ranks.items(), key=lambda item: item[1]):
            parts = [(self.ranks[token[:cut]], self.ranks[token[cut:]], cut) for cut in range(1, len(token))
                     if token[:cut] in self.ranks and token[cut:] in self.ranks]
            merges += [(text(token[:cut]), text(token[cut:])) for _, _, cut in sorted(parts)]
        tokenizer = Tokenizer(models.BPE(vocab={text(token): rank for token, rank in self.ranks.items()}, merges=merges,
                                         ignore_merges=True))
        tokenizer.pre_tokenizer = kimi_stages()
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    def encode(self, text):
        assert self.encoding.encode_ordinary(text) == self.derived.encode(text).ids, text
        return self.encoding.encode(text, allowed_special="all")

    def decode(self, ids, skip_special_tokens):
        return self.encoding.decode([id for id in ids if not (skip_special_tokens and id in self.skipped)])

    @property
    def size(self):
        return len(self.ranks) + 256


def train_pieces():
    """A GGUF file that has only SentencePiece's byte-pair encoding, as the reference converter writes it."""
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(folder, "text.txt")
        text.write_text("\n".join(LINES))
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=f"{folder}/m", model_type="bpe", vocab_size=900, byte_fallback=True,
            character_coverage=0.999, normalization_rule_name="identity", add_dummy_prefix=True,
            remove_extra_whitespaces=False, split_digits=True, max_sentence_length=1 << 16, minloglevel=2)
        model = pathlib.Path(folder, "m.model").read_bytes()
        pieces = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/m.model")
        assert pieces.get_piece_size() == 900
    kinds = [2 if pieces.is_unknown(id) else 3 if pieces.is_control(id) else 6 if pieces.is_byte(id) else 1
             for id in range(pieces.get_piece_size())]
    string = lambda text: struct.pack("<Q", len(text.encode())) + text.encode()
    values = [
        ("tokenizer.ggml.model", 8, string("llama")), ("tokenizer.ggml.pre", 8, string("default")),
        ("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, len(kinds)) + b"".join(
            string(pieces.id_to_piece(id)) for id in range(len(kinds)))),
        ("tokenizer.ggml.scores", 9, struct.pack(f"<IQ{len(kinds)}f", 6, len(kinds), *map(pieces.get_score, range(len(kinds))))),
        ("tokenizer.ggml.token_type", 9, struct.pack(f"<IQ{len(kinds)}i", 5, len(kinds), *kinds)),
        ("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", pieces.bos_id())),
        ("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", pieces.eos_id())),
        ("tokenizer.ggml.unknown_token_id", 4, struct.pack("<I", pieces.unk_id())),
        ("tokenizer.ggml.add_bos_token", 7, b"\1"), ("tokenizer.ggml.add_eos_token", 7, b"\0"),
    ]
    (FIXTURES / "pieces.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(values)) + b"".join(
        string(key) + struct.pack("<I", kind) + value for key, kind, value in values))
    (FIXTURES / "pieces.model").write_bytes(model)


class Pieces:
    """The reference for `pieces.gguf`: the tokenizer that the reference converter makes of the same pieces. SentencePiece
    itself must give the same, but doesn't look for control tokens in texts."""

    def __init__(self):
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(FIXTURES / "pieces.model"))
        values = gguf_values(FIXTURES / "pieces.gguf")
        tokens, scores = values["tokenizer.ggml.tokens"], values["tokenizer.ggml.scores"]
        kinds = values["tokenizer.ggml.token_type"]
        ids = {token: id for id, token in enumerate(tokens)}
        merges = []
        for token, score, kind in zip(tokens, scores, kinds):
            parts = [(token[:cut], token[cut:]) for cut in range(1, len(token))] if kind == 1 else []
            parts = [pair for pair in parts if all(part in ids and kinds[ids[part]] == 1 for part in pair)]
            merges += [(score, *pair) for pair in sorted(parts, key=lambda pair: (ids[pair[0]], ids[pair[1]]))]
        merges.sort(key=lambda merge: (merge[0], len(merge[1]), len(merge[2])), reverse=True)
        self.tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[merge[1:] for merge in merges], unk_token="<unk>",
                                              fuse_unk=True, byte_fallback=True))
        self.tokenizer.normalizer = mark_spaces()
        self.tokenizer.decoder = decoders.Sequence([
            decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
        self.control = [token for token, kind in zip(tokens, kinds) if kind in (2, 3)]
        self.tokenizer.add_special_tokens(self.control)

    def encode(self, text):
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        if text and not any(token in text for token in self.control):
            assert self.pieces.encode(text) == ids, text
        return ids

    def decode(self, ids, skip_special_tokens):
        return self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)

    @property
    def size(self):
        return self.pieces.get_piece_size()


class Described:
    """The reference for a `tokenizer.json`."""

    def __init__(self, definition):
        self.tokenizer = Tokenizer.from_str(json.dumps(definition))
        for token in definition["added_tokens"]:
            assert self.tokenizer.token_to_id(token["content"]) == token["id"], token

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids, skip_special_tokens):
        return self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)

    @property
    def size(self):
        return max(self.tokenizer.get_vocab().values()) + 1


def train():
    for name, definition in [("characters", train_characters(True, 900)), ("phrases", train_characters(False, 700)),
                             ("unigram", train_unigram())]:
        (FIXTURES / f"{name}.json").write_text(json.dumps(definition, ensure_ascii=False, indent=0) + "\n")
    train_ranks()
    train_pieces()
    write_words()
