"""A program that calls an exported model of texts with ONNX Runtime and `tokenizers` alone, to paste and to change."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template

__all__ = ["call_snippet"]

PROGRAM = Template("""\
import json
import os
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before ONNX Runtime is imported

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder = Path($folder)
config = json.loads((folder / "config.json").read_text("utf-8"))
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
session = onnxruntime.InferenceSession(folder / config["served"], providers=["CPUExecutionProvider"])

texts = ["a text", "another text"]
rows = tokenizer.encode_batch(texts)
feed = {
    "input_ids": np.array([row.ids for row in rows]),
    "attention_mask": np.array([row.attention_mask for row in rows]),
}
outputs, scope = session.run(["$output", "scope"], feed)
for text, output, score in zip(texts, outputs, scope):
    $answer
    print(text, answer, "" if score >= float(config["scope_threshold"]) else "(not like the texts of this task)")
""")
ANSWERS = {
    "one_label": 'answer = (config["labels"][output.argmax()], round(float(output.max()), 4))',
    "several_labels": 'answer = [label for label, p, least in zip(config["labels"], output, config["thresholds"]) if p >= least]',
    "grade": 'answer = config["labels"][(output.cumsum() >= 0.5).argmax()]  # the median',
    "number": "answer = round(float(output[0]), 4)",
}
"""Name of the target -> line that reads the answer from a row of the model's output."""


def call_snippet(folder: Path | str, target: str) -> str:
    """Return the program for the model in a folder.

    Args:
        folder: folder of the exported model.
        target: name of the model's target.
    """
    return PROGRAM.substitute(
        folder=json.dumps(str(folder), ensure_ascii=False),
        output="numbers" if target == "number" else "probabilities",
        answer=ANSWERS[target],
    )
