"""The lines that `fsat doctor` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from fsat_tasks.cli.run_tables import terminal
from fsat_tasks.diagnosis.check import Check
from fsat_tasks.quality.wording import plural

__all__ = ["print_checks"]


def print_checks(checks: Sequence[Check]) -> None:
    """Print one line for each check, what to do about it, and a last line that counts faults and warnings."""
    lines = Table.grid(padding=(0, 2))
    for check in checks:
        said = escape(check.says) + (f"\n[bold]{escape(check.fix)}[/]" if check.fix else "")
        lines.add_row("[green]ok[/]" if check.ok else "[red]fault[/]" if check.fault else "[yellow]warn[/]", check.name, said)
    lines.columns[2].overflow = "fold"
    terminal().print(lines)
    faults = sum(check.fault for check in checks)
    warnings = sum(not check.ok for check in checks) - faults
    counts = [plural(count, word) for count, word in ((faults, "fault"), (warnings, "warning")) if count]
    terminal().print(f"{' and '.join(counts)}." if counts else "fsat finds all that it needs.")
