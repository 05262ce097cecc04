"""The verb `fsat doctor`, which says whether fsat finds what it needs."""

from __future__ import annotations

import typer

from fsat_tasks.cli.common import AsJson
from fsat_tasks.cli.json_output import print_json
from fsat_tasks.runtime.progress import show_work

verbs = typer.Typer()

EXIT_FAULT = 1


@verbs.command()
def doctor(as_json: AsJson = False) -> None:
    """Say whether fsat finds what it needs on this machine. Exit code 0, with warnings too, and 1 if fsat cannot work."""
    with show_work("look at this machine"):
        from fsat_tasks.diagnosis import machine, workplace
        from fsat_tasks.diagnosis.check import look_at

        checks = {
            "versions": machine.check_versions,
            "machine": machine.check_cores,
            "ONNX Runtime": machine.check_onnxruntime,
            "GPU": machine.check_gpu,
            "encoders": machine.check_encoders,
            "data": workplace.check_tasks,
            "store": workplace.check_store,
            "signing key": workplace.check_signing,
            "Airflow": workplace.check_airflow,
            "extras": workplace.check_tools,
        }
        found = list(look_at(checks.items()))
    exit_code = EXIT_FAULT if any(check.fault for check in found) else 0
    if as_json:
        print_json({"checks": [check.to_json() for check in found]}, exit_code)
    else:
        from fsat_tasks.cli.doctor_lines import print_checks

        print_checks(found)
    raise typer.Exit(exit_code)
