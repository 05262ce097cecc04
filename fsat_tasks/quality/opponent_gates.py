"""Gates that compare the model with the frozen baseline and with the champion, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsat_tasks.quality.comparison import fewest_gained, most_lost
from fsat_tasks.quality.gates import GateDecision
from fsat_tasks.quality.wording import PERCENT, POINTS, interval, plural
from fsat_tasks.tasks.spec import GateSpec

__all__ = ["allowed_loss", "baseline_gate", "champion_gates", "other_rules", "rule_that_applies", "target_gate"]


def baseline_gate(metrics: Mapping[str, Any], bounds: GateSpec) -> GateDecision:
    """Hold the model back if it is worse beyond chance than the frozen baseline, the linear probe on the pretrained encoder."""
    old = metrics["baseline"]
    exchange = _exchange(metrics["accuracy"], old)
    if old["gained"] < old["lost"]:
        passed = f"Behind the frozen baseline, but not beyond chance: {exchange}."
    else:
        passed = f"{'Ahead of' if old['gained'] > old['lost'] else 'Level with'} the frozen baseline: {exchange}."
    return _not_worse("baseline", old, bounds.significance, passed, f"Worse than the frozen baseline: {exchange}.")


def champion_gates(accuracy: float, champion: Mapping[str, Any], bounds: GateSpec) -> list[GateDecision]:
    """Compare a new model, the challenger, with the champion, by the rule `replace_if`.

    A challenger that is no better replaces the champion with a probability of `significance` at most. With the rule `no_worse`,
    this holds for a challenger that has lost `margin` of the accuracy. If the champion does not know some classes of the task,
    it is enough that the challenger is not worse beyond chance.

    Args:
        accuracy: the challenger's accuracy on the rows on which both are judged.
        champion: figures from `compare_with_champion`.
        bounds: bounds of the gates.
    """
    exchange, old = _exchange(accuracy, champion), f"the champion, version {champion['version']}"
    if champion["missing"]:
        names = ", ".join(map(repr, champion["missing"][:3])) + (" …" if len(champion["missing"]) > 3 else "")
        passed = f"T{old[1:]}, does not know {names}, so it is enough not to be worse: {exchange}."
        held = f"Worse than {old}, although that does not know {names}: {exchange}."
        return [_not_worse("champion", champion, bounds.significance, passed, held)]
    gates = [_replaces(champion, bounds, old, exchange)]
    if bounds.min_gain > 0:
        gain = accuracy - champion["accuracy"]
        gates.append(
            GateDecision.at_least(
                "gain",
                gain,
                bounds.min_gain,
                POINTS,
                lambda figure: f"The gain over {old}, is {figure} of accuracy",
                "difference of the accuracies",
            )
        )
    return gates


def _replaces(champion: Mapping[str, Any], bounds: GateSpec, old: str, exchange: str) -> GateDecision:
    """Decide by the rule that applies."""
    match rule_that_applies(champion, bounds):
        case "surer":
            return _surer(champion, bounds.significance, old, exchange)
        case "no_worse":
            return _no_worse(champion, bounds, old, exchange)
    return _better(champion, bounds, old, exchange)


def rule_that_applies(champion: Mapping[str, Any], bounds: GateSpec) -> str:
    """Return the rule `replace_if`, or `better` if the figures of the comparison do not allow that rule."""
    allowed = {"better": True, "surer": "loss_p" in champion, "no_worse": champion["new_samples"]}
    return bounds.replace_if if allowed[bounds.replace_if] else "better"


def other_rules(champion: Mapping[str, Any], bounds: GateSpec) -> list[str]:
    """Return the rules by which a challenger that the rule `better` holds would replace the champion."""
    if rule_that_applies(champion, bounds) != "better" or champion["missing"] or champion["p"] <= bounds.significance:
        return []
    others = {"surer": "loss_p" in champion and _surer(champion, bounds.significance, "", "").promote}
    others["no_worse"] = champion["new_samples"] and _no_worse(champion, bounds, "", "").promote
    return [name for name, would in others.items() if would]


def target_gate(old: str, new: str, champion: Mapping[str, Any]) -> GateDecision:
    """Hold the model back, because its answers are of another kind than the champion's.

    Args:
        old, new: names of the champion's target and of the model's.
        champion: `version` of the champion.
    """
    reason = (
        f"The champion, version {champion['version']}, answers with {KINDS[old]}, and this model with {KINDS[new]}, so they"
        " cannot be compared. Tell those who read the answers. Then promote this model by hand: fsat history has its key, for"
        " fsat promote."
    )
    return GateDecision("target", False, reason, 0.0, 1.0, f"target of the champion {old}, of the model {new}")


KINDS = {"one_label": "one label", "several_labels": "several labels", "grade": "a grade", "number": "a number"}
"""Target -> its answers, in words."""


def _better(champion: Mapping[str, Any], bounds: GateSpec, old: str, exchange: str) -> GateDecision:
    """Promote if the challenger gains more rows than chance explains. If not, the reason says how many would be enough."""
    p, lost, significance = champion["p"], champion["lost"], bounds.significance
    if p <= significance:
        reason = f"Better beyond chance than {old}: {exchange}."
    else:
        chance = "beyond chance " if champion["gained"] > lost else ""
        enough = f"With {lost:,} lost, {fewest_gained(lost, significance):,} gained would be enough."
        names = [f"gates.replace_if: {name}" for name in other_rules(champion, bounds)]
        others = f" It would replace the champion with {' or '.join(names)} in task.yaml." if names else ""
        reason = f"Not better {chance}than {old}: {exchange}. {enough}{others}"
    return GateDecision("champion", p <= significance, reason, p, significance, _test("better", p, significance, champion))


def _surer(champion: Mapping[str, Any], significance: float, old: str, exchange: str) -> GateDecision:
    """Promote if the challenger's losses are lower beyond chance, and it does not lose more rows than chance explains."""
    p, losses = champion["loss_p"], f"{champion['challenger_loss']:.3f} against {champion['loss']:.3f}"
    surer, worse = p <= significance, champion["worse_p"] < significance
    if worse:
        reason = f"Worse than {old}: {exchange}. {allowed_loss(champion['gained'], significance)}"
    elif surer:
        reason = f"Surer beyond chance of the right answers than {old}: log-loss {losses}. Right answers: {exchange}."
    else:
        chance = "beyond chance " if champion["challenger_loss"] < champion["loss"] else ""
        reason = f"Not surer {chance}of the right answers than {old}: log-loss {losses}. Right answers: {exchange}."
    detail = f"permutation test of the mean loss, one-sided: p {p:.4g}, {champion['loss_rows']} rows; "
    return GateDecision(
        "champion",
        surer and not worse,
        reason,
        p,
        significance,
        detail + _test("worse", champion["worse_p"], significance, champion),
    )


def _no_worse(champion: Mapping[str, Any], bounds: GateSpec, old: str, exchange: str) -> GateDecision:
    """Promote a challenger with other samples if its accuracy has surely not fallen by the margin."""
    from fsat_tasks.numerics.evidence.paired import no_worse_p

    p = no_worse_p(champion["gained"], champion["lost"], champion["rows"], bounds.margin)
    margin, passes = POINTS.show(bounds.margin), p <= bounds.significance
    surely = "The samples have changed, and accuracy has surely not fallen by" if passes else "Accuracy may have fallen by"
    reason = f"{surely} {margin} since {old}: {exchange}."
    if not passes:
        reason += " More query rows, or a larger gates.margin, would tell."
    detail = f"Tango's score test, one-sided (has the model lost {bounds.margin:.4g}?): p {p:.4g}"
    return GateDecision("champion", passes, reason, p, bounds.significance, detail)


def _not_worse(gate: str, older: Mapping[str, Any], significance: float, passed: str, held: str) -> GateDecision:
    """Promote unless the model loses more rows than chance explains. If it does, the reason says how many it may lose."""
    p = older["worse_p"]
    reason = passed if p >= significance else f"{held} {allowed_loss(older['gained'], significance)}"
    return GateDecision(gate, p >= significance, reason, p, significance, _test("worse", p, significance, older))


def allowed_loss(gained: int, significance: float) -> str:
    """Return a sentence that says how many rows a model may lose if it gains `gained` rows."""
    return f"With {gained:,} gained, chance explains at most {most_lost(gained, significance):,} lost."


def _exchange(accuracy: float, older: Mapping[str, Any]) -> str:
    """Return, as text, both accuracies on the same rows and the numbers of gained and lost rows."""
    figures = f"{PERCENT.show(accuracy)} against {PERCENT.show(older['accuracy'])}"
    return f"{figures} on the same {older['rows']:,} rows ({plural(older['gained'], 'row')} gained, {older['lost']:,} lost)"


def _test(what: str, p: float, significance: float, older: Mapping[str, Any]) -> str:
    """Return the statistics of a comparison in one line."""
    sign = "<" if p < significance else ">" if p > significance else "="
    counts = f"{older['gained']} gained, {older['lost']} lost"
    other = f"accuracy of the other {older['accuracy']:.4g} ({interval(older, 'accuracy')})"
    return f"McNemar's exact test, one-sided (is the model {what}?): p {p:.4g} {sign} {significance:.4g}; {counts}; {other}"
