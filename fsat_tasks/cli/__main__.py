"""Entry point of `python -m fsat_tasks.cli`."""

from fsat_tasks.cli.app import main

main()
