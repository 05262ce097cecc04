"""Gates that compare the model with the frozen baseline and with the champion, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsat_tasks.quality.comparison import fewest_gained, most_lost
from fsat_tasks.quality.gates import GateDecision
from fsat_tasks.quality.wording import PERCENT, POINTS, interval, plural
from fsat_tasks.tasks.spec import GateSpec

__all__ = ["allowed_loss", "baseline_gate", "champion_gates"]


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
    """Compare a new model, the challenger, with the champion.

    A challenger that is no better replaces the champion with a probability of `significance` at most. If the champion does not
    know some classes of the task, it is enough that the challenger is not worse beyond chance.

    Args:
        accuracy: the challenger's accuracy on the rows on which both are judged.
        champion: figures from `compare_accuracy`, with the champion's `version` and the classes that it does not know, `missing`.
        bounds: bounds of the gates.
    """
    exchange, old = _exchange(accuracy, champion), f"the champion, version {champion['version']}"
    if champion["missing"]:
        names = ", ".join(map(repr, champion["missing"][:3])) + (" …" if len(champion["missing"]) > 3 else "")
        passed = f"T{old[1:]}, does not know {names}, so it is enough not to be worse: {exchange}."
        held = f"Worse than {old}, although that does not know {names}: {exchange}."
        return [_not_worse("champion", champion, bounds.significance, passed, held)]
    gates = [_better(champion, bounds.significance, old, exchange)]
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


def _better(champion: Mapping[str, Any], significance: float, old: str, exchange: str) -> GateDecision:
    """Promote if the challenger gains more rows than chance explains. If not, the reason says how many would be enough."""
    p, lost = champion["p"], champion["lost"]
    if p <= significance:
        reason = f"Better beyond chance than {old}: {exchange}."
    else:
        chance = "beyond chance " if champion["gained"] > lost else ""
        enough = f"With {lost:,} lost, {fewest_gained(lost, significance):,} gained would be enough."
        reason = f"Not better {chance}than {old}: {exchange}. {enough}"
    return GateDecision("champion", p <= significance, reason, p, significance, _test("better", p, significance, champion))


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
