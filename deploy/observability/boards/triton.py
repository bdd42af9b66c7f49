"""Models: how much is asked of each, how long it waits and computes, and what the machine gives."""

from __future__ import annotations

from deploy.observability.boards.asking import RATE, mean, quantile, rate
from deploy.observability.panels import Board, Panel, Query, Row, Variable

_MODEL, _OURS = '{model=~"$model"}', '{maas_model=~"$model"}'

_TOGETHER = f"{rate('nv_inference_count', 'model', _MODEL)} / ({rate('nv_inference_exec_count', 'model', _MODEL)} > 0)"


def _per_request(what: str) -> str:
    """Mean of a time that Triton adds up in microseconds, in seconds a request."""
    spent = rate(f"nv_inference_{what}_duration_us", "model", _MODEL)
    return f"{spent} / ({rate('nv_inference_request_success', 'model', _MODEL)} > 0) / 1e6"


BOARD = Board(
    "maas-triton",
    "MaaS Triton",
    "Models: demand, waiting, computing, readiness; processors and memory.",
    (
        Row(
            "Demand",
            (
                Panel(
                    "Requests",
                    "That succeeded.",
                    (Query(rate("nv_inference_request_success", "model", _MODEL), "{{model}}"),),
                    "reqps",
                ),
                Panel(
                    "Failures",
                    "Of a model's code, refused and cancelled ones included.",
                    (Query(rate("nv_inference_request_failure", "model, reason", _MODEL), "{{model}} {{reason}}"),),
                    "reqps",
                ),
                Panel(
                    "Waiting in Triton",
                    "Requests that wait for an instance.",
                    (Query(f"sum by (model) (nv_inference_pending_request_count{_MODEL})", "{{model}}"),),
                ),
                Panel(
                    "Executed together",
                    "Inferences an execution: what dynamic batching joins.",
                    (
                        Query(
                            _TOGETHER,
                            "{{model}}",
                        ),
                    ),
                ),
                Panel(
                    "Items a request",
                    "Mean, as services send them.",
                    (Query(mean("maas_model_batch_size", "maas_model", _OURS), "{{maas_model}}"),),
                ),
                Panel(
                    "Not answered yet",
                    "Calls of services, abandoned ones included.",
                    (Query(f"sum by (maas_model) (maas_model_active_calls{_OURS})", "{{maas_model}}"),),
                ),
            ),
        ),
        Row(
            "Time",
            (
                Panel(
                    "Waiting",
                    "Mean of a request, by Triton's own count.",
                    (Query(_per_request("queue"), "{{model}}"),),
                    "s",
                ),
                Panel(
                    "Computing",
                    "Mean of a request, by Triton's own count.",
                    (Query(_per_request("compute_infer"), "{{model}}"),),
                    "s",
                ),
                Panel(
                    "Would wait now",
                    "A call of the model; late ones are refused. For autoscaling.",
                    (Query(f"max by (maas_model) (maas_triton_predicted_wait_seconds{_OURS})", "{{maas_model}}"),),
                    "s",
                ),
                Panel(
                    "Calls, 95 of 100",
                    "As services see them, the way there included.",
                    (Query(quantile(0.95, "maas_model_call_duration_seconds", "maas_model", _OURS), "{{maas_model}}"),),
                    "s",
                ),
                Panel(
                    "Until it began, 95 of 100",
                    "Where models tell it.",
                    (
                        Query(
                            quantile(0.95, "maas_model_queue_duration_seconds", "maas_model", _OURS), "{{maas_model}}"
                        ),
                    ),
                    "s",
                ),
                Panel(
                    "Computed, 95 of 100",
                    "Where models tell it.",
                    (
                        Query(
                            quantile(0.95, "maas_model_compute_duration_seconds", "maas_model", _OURS), "{{maas_model}}"
                        ),
                    ),
                    "s",
                ),
            ),
        ),
        Row(
            "Models",
            (
                Panel(
                    "Ready",
                    "1 when every service finds the model ready.",
                    (Query(f"min by (maas_model) (maas_model_ready{_OURS})", "{{maas_model}}"),),
                ),
                Panel(
                    "Changes",
                    "Models that appeared, disappeared or changed.",
                    (
                        Query(
                            rate("maas_model_changes_total", "maas_model, maas_change", _OURS),
                            "{{maas_model}} {{maas_change}}",
                        ),
                    ),
                    empty="nothing changed",
                ),
                Panel(
                    "Tokens",
                    "Written a second, by Triton's count.",
                    (
                        Query(
                            f"sum(rate(maas_generated_tokens[{RATE}]))",
                            "tokens",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Machine",
            (
                Panel(
                    "Processor",
                    "Of the whole machine or pod, 1 is all.",
                    (Query("nv_cpu_utilization", "{{instance}}"),),
                    "percentunit",
                ),
                Panel(
                    "Memory", "In use on the machine.", (Query("nv_cpu_memory_used_bytes", "{{instance}}"),), "bytes"
                ),
                Panel(
                    "GPU",
                    "Busy, 1 is all the time.",
                    (Query("nv_gpu_utilization", "{{gpu_uuid}}"),),
                    "percentunit",
                    empty="no GPU",
                ),
                Panel(
                    "GPU memory",
                    "The share in use.",
                    (Query("nv_gpu_memory_used_bytes / nv_gpu_memory_total_bytes", "{{gpu_uuid}}"),),
                    "percentunit",
                    empty="no GPU",
                ),
                Panel("GPU power", "In watts.", (Query("nv_gpu_power_usage", "{{gpu_uuid}}"),), "watt", empty="no GPU"),
            ),
        ),
    ),
    (Variable("model", "nv_inference_request_success", "model"),),
)
