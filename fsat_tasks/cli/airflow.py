"""The verbs of `fsat airflow`: a private Airflow on this machine."""

from __future__ import annotations

import signal
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from fsat_tasks.cli.streams import say_error
from fsat_tasks.runtime.progress import show_work

verbs = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="A private Airflow on this machine, with a login.")

Home = Annotated[Path, typer.Option(help="Folder of this Airflow: database, logs, password.", envvar="AIRFLOW_HOME")]
HOME = Path(".airflow")


@verbs.command()
def init(
    home: Home = HOME,
    gpus: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="GPU steps at once. Default: unchanged, at first 1.", show_default=False),
    ] = None,
) -> None:
    """Make its database, the pools of the DAGs and a login, unless they are there already."""
    from fsat_tasks.integrations.airflow_server import prepare

    with show_work("prepare Airflow"):
        made = prepare(home.absolute(), gpus)
    say_error(f"Airflow in {home}: {'ready' if made else 'was ready'}")


@verbs.command(name="exec", context_settings={"ignore_unknown_options": True})
def execute(
    arguments: Annotated[list[str], typer.Argument(metavar="ARGUMENTS", help="Arguments of airflow.", show_default=False)],
    home: Home = HOME,
) -> None:
    """Run the command airflow in it, for example: fsat airflow exec dags list."""
    from fsat_tasks.integrations.airflow_server import become

    become(home.absolute(), arguments)


@verbs.command()
def up(
    home: Home = HOME,
    port: Annotated[int, typer.Option(min=1024, max=65534, help="Port of the web pages; the next one is used too.")] = 8080,
) -> None:
    """Start its web pages, scheduler and workers, for this machine only, until Ctrl-C."""
    from fsat_tasks.integrations.airflow_processes import serve, wait_for_an_end
    from fsat_tasks.integrations.airflow_server import login, prepare

    def stop(number: int, _: Any) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        say_error(f"Airflow starts (log: {home / 'up.log'})")
        with show_work("start Airflow"):
            prepare(home.absolute())
            running = stack.enter_context(serve(home.absolute(), port))
        user, password = login(home.absolute()) or ("", "")
        typer.echo(f"The UI:  http://127.0.0.1:{port}/dags/fsat_tune\nLog in:  {user}, password {password}\nCtrl-C stops it.")
        wait_for_an_end(running)
        say_error(f"Airflow has ended by itself. It says why in {home / 'up.log'}.")
        raise typer.Exit(1)
    say_error("Airflow has stopped.")
