"""Whether models still see and say what they did, and how right they are."""

from __future__ import annotations

from deploy.observability.boards.asking import rate
from deploy.observability.panels import Board, Panel, Query, Row, Variable

_MODEL = 'maas_model=~"$model"'
_TOLD = "no caller told whether an answer was right"
_ANSWERS = "maas_feedback_answers_total"
_RIGHT = (
    f'sum by (maas_model, maas_confidence) (increase({_ANSWERS}{{{_MODEL},maas_correct="true"}}[1d])) '
    f"or sum by (maas_model, maas_confidence) (increase({_ANSWERS}{{{_MODEL}}}[1d])) * 0"
)
_SURE = f"sum by (maas_model, maas_confidence) (increase(maas_feedback_confidence_total{{{_MODEL}}}[1d]))"
_ALL = f"(sum by (maas_model) (increase({_ANSWERS}{{{_MODEL}}}[1d])) > 0)"

BOARD = Board(
    "maas-models",
    "MaaS models",
    "Drift of inputs and answers, and confidence against what callers found right.",
    (
        Row(
            "Drift",
            (
                Panel(
                    "How far from the reference",
                    "Of the last window of calls, by measure. Up to .1 is nothing, from .25 on much.",
                    (
                        Query(
                            f"max by (maas_model, maas_measure) (maas_drift_score{{{_MODEL}}})",
                            "{{maas_model}} {{maas_measure}}",
                        ),
                    ),
                    width=16,
                    empty="no model has a reference and a full window yet",
                ),
                Panel(
                    "Looked at",
                    "Items of calls that were looked at for drift.",
                    (Query(rate("maas_drift_items_total", "maas_model", f"{{{_MODEL}}}"), "{{maas_model}}"),),
                    "ops",
                    empty="no call was looked at",
                ),
            ),
        ),
        Row(
            "Feedback",
            (
                Panel(
                    "Calibration error, a day",
                    "How far confidence is from being right, in the mean. At 0 nine of ten answers of .9 are right.",
                    (Query(f"sum by (maas_model) (abs(({_RIGHT}) - {_SURE})) / {_ALL}", "{{maas_model}}"),),
                    "percentunit",
                    empty=_TOLD,
                ),
                Panel(
                    "Right, a day",
                    "Of the answers that callers judged.",
                    (Query(f"sum by (maas_model) ({_RIGHT}) / {_ALL}", "{{maas_model}}"),),
                    "percentunit",
                    empty=_TOLD,
                ),
                Panel(
                    "Judged",
                    "Answers of which callers told whether they were right.",
                    (
                        Query(
                            rate(_ANSWERS, "maas_model, maas_correct", f"{{{_MODEL}}}"),
                            "{{maas_model}} {{maas_correct}}",
                        ),
                    ),
                    "ops",
                    empty=_TOLD,
                ),
            ),
        ),
    ),
    (Variable("model", "maas_model_ready", "maas_model"),),
)
