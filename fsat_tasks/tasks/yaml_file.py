"""Read a YAML file that a user wrote. The reader knows the line of each value, and every fault is one TaskError."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fsat_tasks.errors import TaskError
from fsat_tasks.runtime.regular_file import open_regular
from fsat_tasks.tasks.yaml_faults import explain_fault

__all__ = ["LARGEST_FILE", "LONGEST_KEY", "Key", "YamlFile", "parse_yaml", "read_small_file", "read_yaml", "shown"]

LARGEST_FILE = 1_000_000
"""Maximum size of a file in bytes. A file of this size is read in about five seconds."""
LARGEST_DEPTH = 20
"""Maximum depth of values inside values."""
LONGEST_KEY = 1_024
"""Maximum number of characters of a key, quotes and escapes included. YAML allows no longer ones in a line with their values."""
LONGEST_SHOWN = 80
"""Maximum number of characters of a value in an error."""

Key = tuple[int | str, ...]
"""Place of a value: the keys and the positions in lists that lead to it."""

_UNDER_WAY = object()
"""Stands for a list or a dictionary whose values are being read."""


class Node(Protocol):
    """Node of the parser's tree."""

    id: str
    """`scalar`, `sequence` or `mapping`."""
    tag: str | None
    value: Any
    """Text of a scalar, or the nodes of a sequence, or the pairs of nodes of a mapping."""
    start_mark: Any
    """Place in the file, with a `line` that counts from 0."""


@dataclass(frozen=True)
class YamlFile:
    """Content of a YAML file."""

    path: Path
    values: dict[str, Any]
    """Key -> value, which is None, a boolean, a number, a text, a list or a dictionary with text keys."""
    root: Node
    """The parser's tree of the same values."""

    def place(self, key: Key) -> str:
        """Return the file, line and key of a value, for an error. There is no line if the file has no such value."""
        return _place(self.path, self._find(key), key)

    def shown(self, key: Key) -> str | None:
        """Return a value as it stands in the file, shortened, or None if the file has no such value."""
        node = self._find(key)
        return None if node is None else _shown_node(node)

    def _find(self, key: Key) -> Node | None:
        node: Node | None = self.root
        for part in key:
            node = None if node is None else _child(node, part)
        return node


def read_small_file(path: Path) -> bytes:
    """Return a file's content. Raises TaskError if it is no file that can be read, such as a pipe, or if it is too large."""
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise TaskError(str(path), "a file that can be read", error.strerror or str(error)) from None
    if len(content) > LARGEST_FILE:
        raise TaskError(str(path), f"at most {LARGEST_FILE:,} bytes", "a larger file", "Is it the right file?")
    return content


def read_yaml(path: Path) -> YamlFile:
    """Read a file of keys and values, in YAML 1.2.

    Keys are text in the file's own letters, even if they look like numbers or are `true` or `null`. Dates are text too.

    Raises:
        TaskError: if the file cannot be read, is not valid YAML in UTF-8, or has a key twice. The error names the line.
    """
    return parse_yaml(path, _decode(path, read_small_file(path)))


def parse_yaml(path: Path, text: str) -> YamlFile:
    """Read keys and values as `read_yaml` does, from a text that is or will be in a file."""
    root = _parse(path, text)
    if root is None or root.id != "mapping":
        got = "nothing" if root is None else _shown_node(root)
        raise TaskError(_place(path, root), "keys and values, at least `samples: FILE`", got)
    return YamlFile(path, _Values(path).read(root, ()), root)


def shown(value: object) -> str:
    """Return a value as an error shows it: a text in quotes, another value as in YAML. Long ones are shortened."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return _shorten(repr(value[: LONGEST_SHOWN + 1]), len(value))
        case int() | float():
            return str(value)
        case dict():
            return "keys and values"
        case _:
            return "a list"


def _child(node: Node, part: int | str) -> Node | None:
    named: Iterable[tuple[int | str, Node]] = ()
    if node.id == "mapping":
        named = ((_text(name.value), value) for name, value in node.value)
    elif node.id == "sequence":
        named = enumerate(node.value)
    return next((value for name, value in named if name == part), None)


def _shown_node(node: Node) -> str:
    if node.id != "scalar":
        return shown({} if node.id == "mapping" else [])
    if _kind(node) in ("str", "timestamp") or not node.value.isprintable():
        return shown(node.value)
    return _shorten(node.value, len(node.value)) or "nothing"


def _shorten(letters: str, length: int) -> str:
    return letters if length <= LONGEST_SHOWN else f"{letters[:LONGEST_SHOWN]}... ({length:,} characters)"


def _place(path: Path, node: Node | None, key: Key = ()) -> str:
    line = "" if node is None else f", line {node.start_mark.line + 1}"
    name = ".".join(part if part.isprintable() else repr(part) for part in map(str, key))
    return f"{path}{line}" + (f": {name[:LONGEST_SHOWN]}" if key else "")


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        got = f"the byte 0x{content[error.start]:02x}"
        raise TaskError(f"{path}, line {line}", "UTF-8", got, "Save the file as UTF-8.") from None


def _parse(path: Path, text: str) -> Node | None:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.reader import ReaderError

    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = LARGEST_DEPTH
    yaml.composer.warn_double_anchors = False
    try:
        root: Node | None = yaml.compose(text)
    except MarkedYAMLError as error:
        raise explain_fault(path, error) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise TaskError(f"{path}, line {line}", "text", f"the character {chr(error.character)!r}") from None
    except MemoryError:
        raise
    except Exception as error:  # on damaged files the parser also fails by itself, such as with an OverflowError
        raise TaskError(str(path), "valid YAML", f"what no parser can read ({type(error).__name__}: {error})") from None
    return root


class _Values:
    """Reads the values of a parsed file. An alias gives the same object as its anchor, so that aliases cost nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[int, Any] = {}

    def read(self, node: Node, key: Key) -> Any:
        """Return the value of a node. Raises TaskError, which names its line."""
        known = self._known.get(id(node))
        if known is _UNDER_WAY:
            raise TaskError(_place(self._path, node, key), "a value that ends", "one that has itself inside")
        if known is None:
            self._known[id(node)] = _UNDER_WAY
            kinds: dict[str, Callable[[Node, Key], Any]] = {"mapping": self._dict, "sequence": self._list, "scalar": self._scalar}
            known = self._known[id(node)] = kinds[node.id](node, key)
        return known

    def _dict(self, node: Node, key: Key) -> dict[str, Any]:
        self._check_tag(node, key, "map")
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for name, value in node.value:
            line = name.start_mark.line + 1
            if name.id != "scalar":
                raise TaskError(_place(self._path, name, key), "a key that is text", _shown_node(name))
            text = self._checked(name, key, _text(name.value))
            if text in found:
                got = f"{shown(text)} a second time, after line {lines[text]}"
                raise TaskError(_place(self._path, name, key), "each key once", got)
            lines[text] = line
            found[text] = self.read(value, (*key, text))
        return found

    def _list(self, node: Node, key: Key) -> list[Any]:
        self._check_tag(node, key, "seq")
        return [self.read(value, (*key, number)) for number, value in enumerate(node.value)]

    def _scalar(self, node: Node, key: Key) -> Any:
        kind = _kind(node)
        self._check_tag(node, key, *_READERS)
        expected, convert = _READERS[kind]
        try:
            return self._checked(node, key, convert(node.value))
        except (ValueError, KeyError):  # an explicit tag such as !!int, or a number with thousands of digits
            raise TaskError(_place(self._path, node, key), expected, shown(node.value)) from None

    def _checked(self, node: Node, key: Key, value: Any) -> Any:
        """Return a value. Raises TaskError if it is a text that files in UTF-8 or other programs do not take."""
        if isinstance(value, str) and (found := re.search("[\\0\ud800-\udfff]", value)):
            got = "a NUL character" if found[0] == "\0" else f"half of a surrogate pair, {found[0]!r}"
            raise TaskError(_place(self._path, node, key), "text", got, "Write the character itself, not a \\u escape.")
        return value

    def _check_tag(self, node: Node, key: Key, *kinds: str) -> None:
        if _kind(node) not in kinds:
            raise TaskError(_place(self._path, node, key), "a value without a tag", shown(str(node.tag)), "Remove the tag.")


def _kind(node: Node) -> str:
    """Return the name of a node's type in YAML, such as `int`."""
    return str(node.tag).removeprefix("tag:yaml.org,2002:")


def _text(letters: str) -> str:
    """Join halves of surrogate pairs, because JSON, which is also YAML, writes an emoji as two escapes."""
    return letters.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _whole(letters: str) -> int:
    digits = letters.replace("_", "")
    return int(digits, 0 if re.match(r"[+-]?0[box]", digits) else 10)


def _number(letters: str) -> float:
    return float(re.sub(r"\.(inf|nan)", r"\1", letters.replace("_", "").lower()))


_READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "null": ("nothing", lambda letters: None),
    "bool": ("true or false", lambda letters: {"true": True, "false": False}[letters.lower()]),
    "int": ("a whole number of at most 4,300 digits", _whole),
    "float": ("a number", _number),
    "str": ("text", _text),
    "timestamp": ("text", _text),
    "merge": ("text", _text),  # `<<` and `=` mean something in older versions of YAML
    "value": ("text", _text),
}
"""Type in YAML -> what it is in words, and the function that reads it."""
