"""A plugin for Airflow's api-server: the report of a run, at fsat/reports/KEY, for whoever may see the runs of fsat_tune.

KEY is that of the artefact of `decide` or `publish`. The api-server reads it from FSAT_STORE.
"""

from functools import cached_property
from typing import Annotated, Any

from airflow.plugins_manager import AirflowPlugin

SANDBOX = "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
"""A report quotes texts of users: whatever is in it, it reaches neither Airflow's cookie nor its API, nor another server."""


class FsatReports(AirflowPlugin):  # type: ignore[misc]
    """Only the api-server asks for `fastapi_apps`; all other processes of Airflow load no web framework for it."""

    name = "fsat_reports"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        return [{"app": make_app(), "url_prefix": "/fsat", "name": "fsat reports"}]


def make_app() -> Any:
    """The application below /fsat."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from fastapi import Depends, FastAPI, HTTPException
    from fastapi import Path as PathParam
    from fastapi.responses import FileResponse

    from fsat_tasks.workspace import Workspace

    app = FastAPI(title="fsat reports", docs_url=None, redoc_url=None, openapi_url=None)
    may_see = Depends(requires_access_dag("GET", DagAccessEntity.XCOM, "fsat_tune"))

    @app.get("/reports/{key}", dependencies=[may_see])
    def report(key: Annotated[str, PathParam(pattern="^[0-9a-f]{64}$")]) -> FileResponse:
        path = Workspace.from_env().store / "publish" / key[:2] / key / "report.html"
        if not path.is_file():
            raise HTTPException(404, f"No report {key} in FSAT_STORE of this api-server: {path}")
        return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": SANDBOX})

    return app
