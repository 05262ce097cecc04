"""Words for the errors of the YAML parser, whose own words are for people who know YAML's grammar."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fsat_tasks.errors import TaskError

if TYPE_CHECKING:
    from ruamel.yaml.error import MarkedYAMLError

__all__ = ["explain_fault"]


class _Fault(NamedTuple):
    """Error of the parser, and its meaning in plain words."""

    pattern: str
    """Pattern of the parser's message. What its groups match stands for {0}, {1} and so on in the words."""
    expected: str
    got: str
    fix: str = ""
    at_start: bool = False
    """True if the mistake is where the parser's construct begins, such as a bracket that is never closed."""


FAULTS = (
    _Fault(
        r"mapping values are not allowed",
        "one `key: value` in a line",
        "a second colon, or a line that is indented too far",
        "Put a text with a colon in quotes, and begin the keys of one level in the same column.",
    ),
    _Fault(r"found character '\\t'", "spaces", "a tab", "Indent with spaces."),
    _Fault(
        r"found character ('.*') that cannot start", "a value", "the character {0}", "Put a text that begins with it in quotes."
    ),
    _Fault(r"could not find expected ':'", "`key: value`", "no colon followed by a space", "", at_start=True),
    _Fault(r"expected ',' or '([]}])'", "a closing {0}", "none", "Put a text with brackets in quotes.", at_start=True),
    _Fault(r"but found '<stream end>'", "a value or a closing bracket", "the end of the file"),
    _Fault(r"unexpected end of stream", "a closing quotation mark", "none", "", at_start=True),
    _Fault(
        r"expected <block end>",
        "the keys of one level in the same column, and one value for each key",
        "a line that does not fit",
        "Look at its indentation and its quotation marks.",
    ),
    _Fault(r"sequence entries are not allowed", "each `- value` in a line of its own", "a dash after a key"),
    _Fault(r"undefined alias '(.*)'", "a value", "*{0}", "Put a text that begins with * in quotes."),
    _Fault(r"expected alphabetic or numeric character", "a value", "& or *", "Put a text that begins with & or * in quotes."),
    _Fault(
        r"unknown escape character ('.*')", "an escape such as \\n", "\\ and {0}", "In single quotes, \\ is only a character."
    ),
    _Fault(r"found another document", "one document", "a second one after ---"),
    _Fault(r"maximum depth", "a few levels of values inside values", "too many"),
)

OTHER = _Fault("", "valid YAML", "what the parser cannot read ({0})")


def explain_fault(path: Path, error: MarkedYAMLError) -> TaskError:
    """Return the parser's error in plain words, with the line of the mistake."""
    said = str(error.problem or error.context).split("\n")[0]
    for fault in FAULTS:
        if match := re.search(fault.pattern, said):
            break
    else:
        fault, match = OTHER, re.match("(.*)", said)
    mark = error.context_mark if fault.at_start and error.context_mark else error.problem_mark or error.context_mark
    where = f"{path}, line {mark.line + 1}" if mark else str(path)
    words = match.groups() if match else ()
    return TaskError(where, fault.expected.format(*words), fault.got.format(*words), fault.fix)
