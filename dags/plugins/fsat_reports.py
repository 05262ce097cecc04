"""A plugin for Airflow's api-server. It serves the report of a run at fsat/reports/KEY to users who may see runs of fsat_tune.

KEY is the key of the artefact of `decide` or `publish`. The api-server reads the report from FSAT_STORE.
"""

from functools import cached_property
from typing import Annotated, Any

from airflow.plugins_manager import AirflowPlugin

HEADERS = {
    "Cache-Control": "private, no-store",  # because only users who are logged in may see a report
    "Content-Security-Policy": "sandbox allow-scripts allow-downloads; default-src 'none'; style-src 'unsafe-inline';"
    " script-src 'unsafe-inline'; img-src data:",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of a report. A report quotes texts that anybody may have written. Whatever these texts contain, the page
cannot read Airflow's cookie, call Airflow's API or load anything. The report's own policy allows only its own script. What
may be downloaded is a file within the page: the suspected samples."""


class FsatReports(AirflowPlugin):
    """Registers the page. Only the api-server asks for `fastapi_apps`, so other processes of Airflow load no web framework."""

    name = "fsat_reports"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        return [{"app": make_app(), "url_prefix": "/fsat", "name": "fsat reports"}]


def make_app() -> Any:
    """Return the web application that answers below /fsat."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from fastapi import Depends, FastAPI, HTTPException
    from fastapi import Path as PathParam
    from fastapi.responses import HTMLResponse

    app = FastAPI(title="fsat reports", docs_url=None, redoc_url=None, openapi_url=None)
    may_see = Depends(requires_access_dag("GET", DagAccessEntity.RUN, "fsat_tune"))

    @app.get("/reports/{key}", dependencies=[may_see])
    def report(key: Annotated[str, PathParam(pattern="^[0-9a-f]{64}$")]) -> HTMLResponse:
        from fsat_tasks.store import Store  # imported late, because a server without fsat must be able to start
        from fsat_tasks.tasks.workspace import Workspace

        path = Store(Workspace.from_env().store).folder("publish", key) / "report.html"
        try:
            return HTMLResponse(path.read_bytes(), headers=HEADERS)
        except FileNotFoundError:
            raise HTTPException(404, f"No report {key} in FSAT_STORE of this api-server: {path}") from None

    return app
