#!/usr/bin/env python3
"""Writes Sources/Tokenizer/CanonicalData*.swift: Unicode's canonical equivalences as the reference has them.

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3
    venv/bin/python Tests/python/canonical_data.py

Which characters have a combining class is asked of the reference itself, whose tables are of another Unicode version
than Python's: a mark that it knows changes places with one of another class.
"""
import pathlib
import textwrap
import unicodedata

from tokenizers import normalizers

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "Sources/Tokenizer"
CODES = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
decompose = normalizers.NFD().normalize_str
compose = normalizers.NFC().normalize_str

classes, singles, pairs = {}, {}, {}
for code in CODES:
    text = chr(code)
    combining = unicodedata.combining(text)
    if combining > 1 and decompose(f"a{text}\u0334") == f"a\u0334{decompose(text)}":
        classes[code] = combining
    if combining == 1 and decompose(f"a\u0301{text}") == f"a{text}\u0301":
        classes[code] = combining
    if 0xAC00 <= code <= 0xD7A3 or decompose(text) == text:
        continue
    parts = unicodedata.decomposition(text).split()
    if len(parts) == 1:
        singles[code] = parts[0]
    else:
        together = compose("".join(chr(int(part, 16)) for part in parts)) == text
        pairs[code] = ("+" if together else "-").join(parts)


def hexadecimal(code):
    return format(code, "X")


def ranges(values):
    result = []
    for code, value in sorted(values.items()):
        if result and result[-1][1] == code - 1 and result[-1][2] == value:
            result[-1][1] = code
        else:
            result.append([code, code, value])
    return result


def plain(parts):
    """Without leading zeros."""
    for separator in "+-":
        parts = separator.join(part.lstrip("0") for part in parts.split(separator))
    return parts


def literal(name, comment, entries):
    lines = textwrap.wrap(" ".join(entries), 112)
    body = "\n".join(f"        {line}" for line in lines)
    return f'    /// {comment}\n    static let {name}: StaticString = """\n{body}\n        """\n'


def main():
    (SOURCES / "CanonicalData.swift").write_text(
        "/// Unicode's canonical equivalences as the reference has them, in hexadecimal code points: normalisation would "
        "give other\n/// ids with the tables of another version. `Tests/python/canonical_data.py` writes these files.\n"
        "enum CanonicalData {\n"
        + literal("singles", "Characters that are another one.",
                  [f"{hexadecimal(code)}={plain(part)}" for code, part in sorted(singles.items())])
        + "\n"
        + literal("classes", "Canonical combining classes other than 0, of characters and of ranges.",
                  [hexadecimal(first) + (f"-{hexadecimal(last)}" if last > first else "") + f"={value}"
                   for first, last, value in ranges(classes)])
        + "}\n")
    (SOURCES / "CanonicalData+Decompositions.swift").write_text(
        "extension CanonicalData {\n"
        + literal("pairs", "Characters that are two others: together where a plus stands, and only ever apart where a "
                  "minus stands.", [f"{hexadecimal(code)}={plain(parts)}" for code, parts in sorted(pairs.items())])
        + "}\n")


if __name__ == "__main__":
    main()
