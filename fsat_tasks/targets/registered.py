"""The targets that task.yaml may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fsat_tasks.targets.grade import GradeTarget
from fsat_tasks.targets.number import NumberTarget
from fsat_tasks.targets.one_label import OneLabelTarget
from fsat_tasks.targets.several_labels import SeveralLabelsTarget
from fsat_tasks.targets.target import Target

if TYPE_CHECKING:
    from fsat_tasks.tasks.spec import TaskSpec

__all__ = ["ONE_LABEL", "TARGETS", "find_target", "target_from_settings"]

TARGETS: dict[str, type[Target]] = {
    target.name: target for target in (OneLabelTarget, SeveralLabelsTarget, GradeTarget, NumberTarget)
}
"""Value of `target` in task.yaml -> the target's class. Its fields are options, which task.yaml has by the same names."""

ONE_LABEL: Target = OneLabelTarget()
"""The default target."""


def find_target(spec: TaskSpec) -> Target:
    """Return the target that a task names, with the task's options."""
    kind = TARGETS[spec.target]
    return kind(**{option.name: getattr(spec, option.name) for option in fields(kind)})


def target_from_settings(settings: Mapping[str, Any]) -> Target:
    """Return the target of a published model, from `Target.settings`. Models of older versions name none: they have one label."""
    options = {"name": OneLabelTarget.name, **settings}
    return TARGETS[options.pop("name")](**options)
