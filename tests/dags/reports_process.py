"""The plugin dags/plugins/fsat_reports.py, asked by people. Usage: python reports_process.py RESULT PATHS.

RESULT becomes a JSON file: the answers for each path to three people, one without a login, one who may see nothing, and one who
may see runs.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

DAGS = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]


def asked(app: Any, paths: list[str], may_see: bool | None) -> dict[str, dict[str, Any]]:
    """Return the answers to a person who may see runs (True), who may not (False), or who has no login (None)."""
    from airflow.api_fastapi.core_api import security
    from fastapi.testclient import TestClient

    seen: list[tuple[Any, ...]] = []

    def is_authorized_dag(*, method: str, access_entity: Any, details: Any, user: Any) -> bool:
        seen.append((method, access_entity.value, details.id))
        return bool(may_see)

    app.dependency_overrides = {} if may_see is None else {security.get_user: lambda: "anna"}
    manager = SimpleNamespace(is_authorized_dag=is_authorized_dag)
    with patch.object(security, "get_auth_manager", lambda: manager), patch.object(security.DagModel, "get_team_name"):
        answers = {path: TestClient(app).get(path) for path in paths}
    assert may_see is None or set(seen) == {("GET", "RUN", "fsat_tune")}
    return {
        path: {"status": answer.status_code, "text": answer.text, "headers": dict(answer.headers)}
        for path, answer in answers.items()
    }


def main(result: str, paths: str) -> None:
    sys.path.insert(0, f"{DAGS}/plugins")
    import fsat_reports

    (mounted,) = fsat_reports.FsatReports().fastapi_apps
    said = {str(may_see): asked(mounted["app"], json.loads(paths), may_see) for may_see in (None, False, True)}
    Path(result).write_text(json.dumps({"prefix": mounted["url_prefix"], "said": said}), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
