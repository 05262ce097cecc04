"""Strategies for task folders with a task.yaml that is damaged, or that somebody wrote to do harm."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import strategies as st

__all__ = ["GOOD", "contents", "schedules", "write_data"]

GOOD = """\
description: "cards and payments"
samples: s.csv
query: q.csv
unlabelled: ../pool.csv
text: text
label: label
target: one_label
slices: [channel, country]
classes:
  card_lost: the card is lost
  007: "a number \\u2026"
encoder: {name: all-MiniLM-L6-v2, max_tokens: 64, precision: int8}
validation: {min_shots: 2, max_characters: 100, near_duplicate: 0.9}
tune: {body: 'off', budget_seconds: 10, pool_rows: 20, class_weight: balanced, coverage: 0.9}
gates: {min_accuracy: 0.5, max_ece: 1, max_warnings: 3, max_megabytes: 200}
apply: {files: ../incoming/*.csv, min_probability: 0.5}
shots: 5
seed: 1
device: cpu
approval: true
approval_hours: 12
watch: {traffic: ../traffic, window: 100, significance: 0.01}
schedules: {tune: "0 3 * * 1-5", watch: "@daily", apply: "*/5 * * * *"}
triggers: {tune: [champion-other, traffic], apply: [files]}
"""
"""A task.yaml that has every kind of value."""

KEYS = tuple(line.split(":")[0] for line in GOOD.splitlines() if not line.startswith(" "))
SECTIONS = ("encoder", "validation", "tune", "gates", "apply", "watch", "schedules", "triggers", "classes")

PIECES = (
    *r"""
~
null
true
no
0
-1
1_0
1.5
1e400
.nan
-.inf
''
' '
"\ud800"
"\ud83d\ude00"
"a\ud800.csv"
"\0"
"\U00110000"
"\Uffffffff"
"\x1b[2J"
2024-01-01
2024-02-30
2024-13-01
2024-01-01T99:00:00Z
12:30:45
!!int abc
!!bool maybe
!!float x
!!null x
!!timestamp x
!!binary ====
!!set {a, b}
!!omap [a: b]
!!str 5
!own x
!!python/object/apply:os.getcwd []
&a [*a]
*a
&a {<<: *a}
{<<: [a]}
[[a, b], {c: d}]
{a: a, a: b}
{'': ''}
{? [a]: b}
{? {a: b}: c}
[a, b
{a: b
'
"
|
> x
@x
`
%
- a
a: b
? x
x # y
/etc/passwd
../../x.csv
s.csv
S.CSV
.csv
s.csv/
*.csv
**
self
context
@hourly
@never
0 0 30 2 *
* * 1-5 * L5
61 * * * *
R * * * *
H * * * *
* * * * * *
0-99999999999 * * * *
one_label
several_labels
grade
number
balanced
cuda
[]
['']
[self]
[' ']
[1]
[null]
{}
""".splitlines(),
    "\t",
    "\ufeff",
    "q.csv\0",
    "x" * 300 + ".csv",
    "9" * 5000,
    "-" + "9" * 400,
    "0x" + "f" * 5000,
    "[" * 3000,
    "[" * 50 + "]" * 50,
    "{a: " * 40,
)
"""Values in YAML, some of which are valid somewhere."""


CRON_FIELDS = """\
?
L
0
1
5
7
12
31
00
+1
a
JAN
mon
*/5
?/2
1/2
1-5
5-1
1-L
1,2
L,1
mon-fri
dec-jan
L5
5W
0#1
sun#5
""".splitlines()


@st.composite
def with_pieces(draw: st.DrawFn) -> bytes:
    """Return the good file with the values of some keys replaced, some keys twice, and some keys that do not exist."""
    lines = {line.split(":")[0]: line for line in GOOD.splitlines() if not line.startswith(" ")}
    lines["classes"] = "classes: {card_lost: the card is lost, 007: a number}"
    for key in draw(st.lists(st.sampled_from([*KEYS, "tolerance", "separator", "out_of_scope", "inputs", "no_key"]), min_size=1)):
        lines[key] = f"{key}: {draw(st.sampled_from(PIECES))}"
    for section in draw(st.lists(st.sampled_from(SECTIONS), max_size=3)):
        inner = draw(
            st.sampled_from(["tune", "name", "window", "files", "min_shots", "max_megabytes", "coverage", "0", "x", *PIECES])
        )
        lines[section] = f"{section}: {{{inner}: {draw(st.sampled_from(PIECES))}}}"
    twice = draw(st.lists(st.sampled_from(sorted(lines)), max_size=1))
    text = "\n".join([*lines.values(), *(lines[key] for key in twice)]) + "\n"
    return text.encode("utf-8", "surrogatepass")


@st.composite
def with_bytes(draw: st.DrawFn) -> bytes:
    """Return the good file with a few runs of bytes replaced, removed or inserted."""
    content = GOOD.encode()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        size = draw(st.integers(0, 6))
        content = content[:start] + draw(st.binary(max_size=6)) + content[start + size :]
    return content


def as_json() -> st.SearchStrategy[bytes]:
    """Return files in JSON, which is YAML, with any values under the known keys."""
    # with halves of surrogate pairs, which JSON can write
    text = st.text(st.characters(exclude_categories=()), max_size=8)
    scalar = st.none() | st.booleans() | st.integers() | st.floats() | text | st.sampled_from(PIECES)
    value = st.recursive(
        scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=6
    )
    keys = st.sampled_from([*KEYS, "gates", "tune"]) | text
    objects = st.dictionaries(keys, value, max_size=6).map(lambda values: {"samples": "s.csv", **values})
    return objects.map(lambda values: json.dumps(values).encode())


@st.composite
def schedules(draw: st.DrawFn) -> bytes:
    """Return small files with cron lines and names of assets, most of which are valid."""
    field = st.just("*") | st.sampled_from(CRON_FIELDS)
    cron = st.lists(field, min_size=5, max_size=5).map(" ".join) | st.sampled_from(["@daily", "@quarterly", "0 0 29 2 *"])
    names = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10), max_size=3)
    values = {"samples": "s.csv", "schedules": {"tune": draw(cron)}, "triggers": {"tune": draw(names), "apply": draw(names)}}
    return json.dumps(values).encode()


contents = st.one_of(with_pieces(), with_bytes(), as_json(), st.binary(max_size=60))
"""Bytes of a task.yaml."""


def write_data(data: Path, name: str) -> Path:
    """Make a task's folder with all files that GOOD names. Returns the path of its task.yaml, which is not made."""
    folder = data / name
    folder.mkdir(parents=True)
    for file in ("s.csv", "q.csv", "../pool.csv"):
        (folder / file).write_text("text,label,channel,country\nmoney back,card_lost,a,b\nhi,007,a,b\n", "utf-8")
    return folder / "task.yaml"
