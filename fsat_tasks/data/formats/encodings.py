"""Encodings of text files. What is no UTF-8 is sniffed, because Excel writes other encodings in many countries."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from fsat_tasks.errors import DataError
from fsat_tasks.runtime.regular_file import open_regular

__all__ = ["MARKS", "SAVE", "UTF8", "bad_byte", "encoding_name", "find_encoding"]

UTF8 = "utf-8-sig"
"""Python's name of UTF-8 whose byte-order mark, if there is one, is left out."""
NAMES = {UTF8: "UTF-8", "latin-1": "Latin-1", "shift_jis": "Shift JIS"}
"""Encoding -> its name on the screen, if it is not the name that Python has for it in capitals."""
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # first, because it begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""First bytes of a file -> its encoding."""
SNIFFED = 1 << 26
"""Number of bytes that are looked at to tell UTF-8 from other encodings."""
CHUNK = 1 << 20
SAMPLE = 1 << 16
"""Number of bytes beyond ASCII, with the words around them, that another encoding is guessed from."""
LEAST_ZEROS = 8
"""Minimum number of zero bytes in UTF-16. A few of them may be faults in another encoding."""
GUESSES = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "shift_jis", "gb18030", "big5", "euc_kr")
"""Encodings that spreadsheets write. Of those that fit equally well, the first one is taken."""
SAVE = "Save it as UTF-8 (in Excel: CSV UTF-8)."


def find_encoding(path: Path) -> str:
    """Return Python's name of a text file's encoding.

    Raises:
        DataError: if the file is UTF-8 with a damaged place. Another encoding would make nonsense of the rest.
        OSError: if the file cannot be read.
    """
    with open_regular(path) as file:
        start = file.read(SAMPLE)
        for mark, encoding in MARKS.items():
            if start.startswith(mark):
                return encoding
        if (wide := _utf16(start)) is not None:
            return wide
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while file.tell() < SNIFFED and (chunk := file.read(CHUNK)):
                decoder.decode(chunk)
            decoder.decode(b"", final=file.tell() < SNIFFED)
        except UnicodeDecodeError:
            file.seek(0)
            return _guess(path, file.read(SNIFFED))
    return UTF8


def _guess(path: Path, content: bytes) -> str:
    """Return the encoding of bytes that are no UTF-8. Raises DataError if they are UTF-8 with a damaged place."""
    sample = b"".join(re.findall(rb"[^\r\n]*[\x80-\xff][^\r\n]*[\r\n]*", content))
    if len(sample) > SAMPLE:  # whole lines, because half of a letter is a letter of no encoding
        sample = sample[: sample.find(b"\n", SAMPLE) + 1] or sample
    whole, broken = sample.decode("utf-8", "ignore"), sample.decode("utf-8", "replace").count("\ufffd")
    if (letters := sum(letter > "\x7f" for letter in whole)) and letters >= broken:
        raise _damaged(path)
    return _best(sample)


def _utf16(start: bytes) -> str | None:
    """Return UTF-16 without a byte-order mark, or None. Every second byte of names of columns and of line ends is zero in it."""
    pairs = len(start) // 2
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if max(even, odd) < max(pairs * 0.2, LEAST_ZEROS) or min(even, odd) > pairs * 0.02:
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def _best(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    found = list(from_bytes(sample, cp_isolation=list(GUESSES)))
    if not found:
        return "latin-1"  # every byte is a letter of it
    equal = [match for match in found if (match.chaos, match.coherence) == (found[0].chaos, found[0].coherence)]
    fit = {name for match in equal for name in match.could_be_from_charset}
    return next((name for name in GUESSES if name in fit), found[0].encoding)


def encoding_name(encoding: str) -> str:
    """Return the name of an encoding on the screen, such as `Windows-1252`."""
    return NAMES.get(encoding) or re.sub(r"^CP(\d)", r"Windows-\1", encoding.upper().removesuffix("-LE").removesuffix("-BE"))


def bad_byte(where: str, byte: int) -> DataError:
    """Return the error about a byte that is not UTF-8."""
    return DataError(where, "UTF-8", f"the byte 0x{byte:02x}", SAVE)


def _damaged(path: Path) -> DataError:
    """Return an error that names the first line of a file that is not UTF-8."""
    decoder, number = codecs.getincrementaldecoder("utf-8")(), 1
    with open_regular(path) as file:
        while piece := file.readline(SAMPLE):
            try:
                decoder.decode(piece)
            except UnicodeDecodeError as error:
                return bad_byte(f"{path}, line {number}", error.object[error.start])
            number += piece.endswith(b"\n")
    return DataError(f"{path}, line {number}", "UTF-8", "a character that is cut off", SAVE)
