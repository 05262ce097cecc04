"""Standard streams of the command: a closed or full one is one clear line, and an answer that is lost is no success."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo_run import TASK
from fsat_tasks.cli.streams import to_width

FSAT = f"{sys.executable} -m fsat_tasks.cli"
FULL = "fsat: standard output cannot be written: No space left on device. Something that was to be printed is lost.\n"
CLOSED = "fsat: standard output: expected an open stream, got a closed one. To drop the output, add: > /dev/null\n"


def shell(command: str, store: Path, **variables: str) -> tuple[int, str, str]:
    environment = {**os.environ, "FSAT_STORE": str(store), **variables}
    result = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", ["--version", "--help", "status"])
def test_full_output_is_one_line_and_a_failure(arguments: str, unbuffered: str, tmp_path: Path) -> None:
    assert shell(f"{FSAT} {arguments} > /dev/full", tmp_path, PYTHONUNBUFFERED=unbuffered) == (1, "", FULL)


def test_closed_output_is_refused_before_any_work(tmp_path: Path) -> None:
    assert shell(f"{FSAT} --version >&-", tmp_path) == (2, "", CLOSED)
    assert shell(f"{FSAT} --version <&- >&- 2>&-", tmp_path) == (2, "", "")


def test_closed_input_and_errors_do_not_matter_where_they_are_not_needed(tmp_path: Path) -> None:
    assert shell(f"{FSAT} --version <&- 2>&-", tmp_path) == (0, "fsat 0.1.0\n", "")


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "import os; from fsat_tasks.cli.streams import fill_closed_streams; fill_closed_streams()\n"
        "print(os.open('/dev/null', os.O_RDONLY) > 2)"
    )
    assert shell(f'{sys.executable} -c "{code}" <&- 2>&-', tmp_path) == (0, "True\n", "")


def test_predict_without_input_says_so(demo_store: Path) -> None:
    code, out, err = shell(f"{FSAT} predict {TASK} <&-", demo_store)
    assert (code, out) == (2, "")
    assert (
        err == "fsat: standard input: expected lines of text, got a closed stream. Give a text, a --file, or lines on a pipe.\n"
    )
    assert shell(f"{FSAT} predict {TASK} < /dev/null", demo_store) == (0, "", "")


def test_answer_that_cannot_be_written_is_a_failure(demo_store: Path) -> None:
    assert shell(f"{FSAT} predict {TASK} 'my card' > /dev/full", demo_store) == (1, "", FULL)
    assert shell(f"yes card | head -3000 | {FSAT} predict {TASK} > /dev/full", demo_store) == (1, "", FULL)


@pytest.fixture
def predicting(demo_store: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that answers lines on a pipe."""
    process = subprocess.Popen(
        [*FSAT.split(), "predict", TASK],
        env={**os.environ, "FSAT_STORE": str(demo_store)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
    )
    with process:
        yield process
        process.kill()


def ask(process: subprocess.Popen[bytes], lines: str) -> list[str]:
    """Write lines, and return the texts of as many answers. The test fails if they do not come within a minute."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(lines.encode())
    answers = b""
    while answers.count(b"\n") < lines.count("\n"):
        ready, _, _ = select.select([process.stdout], [], [], 60)
        assert ready, "no answer"
        answers += os.read(process.stdout.fileno(), 1 << 16)
    return [json.loads(line)["text"] for line in answers.splitlines()]


def test_who_writes_a_line_and_waits_gets_its_answer(predicting: subprocess.Popen[bytes]) -> None:
    assert ask(predicting, "my card\n") == ["my card"]
    assert ask(predicting, "charged twice\n\nPIN\n") == ["charged twice", "", "PIN"]
    assert ask(predicting, "card\n" * 300) == ["card"] * 300


def test_ctrl_c_is_one_line_and_code_130(predicting: subprocess.Popen[bytes]) -> None:
    ask(predicting, "my card\n")
    predicting.send_signal(signal.SIGINT)
    assert predicting.stderr is not None
    assert predicting.stderr.read() == b"fsat: stopped.\n", "predict keeps nothing"
    assert predicting.wait() == 130


def test_long_sentence_is_wrapped_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    sentence = "The steps from here on take at most about 8 minutes on two idle cores with a small encoder."
    assert to_width(sentence) == sentence
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert max(map(len, to_width(sentence).split("\n"))) <= 40
