"""Time the gates and the report of a large task: clinc150, 10 shots of 150 classes, 3,000 query rows.

python -m benchmarks.large_task [--data FOLDER] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.command import about, add_data_option, add_out_option, save
from benchmarks.data import find_sets, read_rows

SET, NAME, SHOTS, ROWS = "clinc150", "large", 10, 3000
BOUND = 10.0
"""Goal: maximum seconds of the steps `evaluate` and `publish` together, without the time to encode the query rows."""


def run(source: Path) -> dict[str, Any]:
    """Run all steps on an empty store, in one process, and return the seconds of each step."""
    from fsat_tasks.inputs.text import fingerprint
    from fsat_tasks.steps.pipeline import run_steps
    from fsat_tasks.tasks.task import load_task

    folder = Path(os.environ["FSAT_DATA"]) / NAME
    folder.mkdir(parents=True)
    (folder / "samples.jsonl").write_bytes((source / f"train_{SHOTS}.jsonl").read_bytes())
    shots = set(map(fingerprint, read_rows(source / f"train_{SHOTS}.jsonl")[0]))
    rows = [
        (text, label) for text, label in zip(*read_rows(source / "test.jsonl"), strict=True) if fingerprint(text) not in shots
    ]
    drawn = random.Random(0).sample(rows, min(ROWS, len(rows)))
    lines = (json.dumps({"text": text, "label": label}) + "\n" for text, label in drawn)
    (folder / "query.jsonl").write_text("".join(lines), "utf-8")
    (folder / "task.yaml").write_text('{samples: samples.jsonl, query: query.jsonl, tune: {body: "off"}}\n', "utf-8")
    made = run_steps(load_task(NAME))
    return {
        "seconds": {step: artefact.manifest["wall_seconds"] for step, artefact in made.items()},
        "rows": made["evaluate"].json("metrics.json")["rows"],
        "classes": len(made["export"].json("config.json")["labels"]),
        "report_bytes": (made["publish"].path / "report.html").stat().st_size,
    }


def main() -> int:
    """Return the exit code: 0 if the results are written, 2 if nothing could be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_task", description=__doc__.splitlines()[0])
    add_data_option(parser)
    add_out_option(parser)
    options = parser.parse_args()
    results = about()
    try:
        find_sets(options.data, [SET])
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"FSAT_DATA": f"{folder}/data", "FSAT_STORE": f"{folder}/store"}
        results |= run(options.data / SET)
    results["gates_and_report"] = results["seconds"]["evaluate"] + results["seconds"]["publish"]
    save(options.out, "large_task", results)
    print(
        f"{results['rows']} query rows, {results['classes']} classes: {results['seconds']} s; gates and report"
        f" {results['gates_and_report']:.1f} s (to reach: {BOUND:.0f})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
