"""One service, method by method: rate, errors, durations, and where the time goes."""

from __future__ import annotations

from deploy.observability.boards.asking import faults, mean, quantile, rate
from deploy.observability.objectives import DURATION
from deploy.observability.panels import Board, Panel, Query, Row, Variable

_CHOSEN = 'job=~"$job",rpc_method=~"$method"'
_JOB = '{job=~"$job"}'

BOARD = Board(
    "maas-service",
    "MaaS service",
    "One service, method by method, and where its time goes.",
    (
        Row(
            "Calls",
            (
                Panel(
                    "Rate",
                    "By method.",
                    (Query(rate(f"{DURATION}_count", "rpc_method", f"{{{_CHOSEN}}}"), "{{rpc_method}}"),),
                    "reqps",
                ),
                Panel(
                    "Failing",
                    "The share that fails by a fault of the mesh.",
                    (Query(faults("rpc_method", f"{_CHOSEN},"), "{{rpc_method}}"),),
                    "percentunit",
                ),
                Panel(
                    "By status",
                    "Faults of callers, such as INVALID_ARGUMENT, are here too.",
                    (
                        Query(
                            rate(f"{DURATION}_count", "rpc_response_status_code", f"{{{_CHOSEN}}}"),
                            "{{rpc_response_status_code}}",
                        ),
                    ),
                    "reqps",
                ),
                Panel(
                    "Time, half",
                    "Median by method.",
                    (Query(quantile(0.5, DURATION, "rpc_method", f"{{{_CHOSEN}}}"), "{{rpc_method}}"),),
                    "s",
                ),
                Panel(
                    "Time, 95 of 100",
                    "By method.",
                    (Query(quantile(0.95, DURATION, "rpc_method", f"{{{_CHOSEN}}}"), "{{rpc_method}}"),),
                    "s",
                ),
                Panel(
                    "Time, 99 of 100",
                    "By method.",
                    (Query(quantile(0.99, DURATION, "rpc_method", f"{{{_CHOSEN}}}"), "{{rpc_method}}"),),
                    "s",
                ),
            ),
        ),
        Row(
            "Where the time goes",
            (
                Panel(
                    "Stages",
                    "Mean time of each stage of the chosen methods.",
                    (Query(mean("maas_stage_duration_seconds", "maas_stage", f"{{{_CHOSEN}}}"), "{{maas_stage}}"),),
                    "s",
                ),
                Panel(
                    "Calls that it makes",
                    "Mean time of its calls to other services and to Triton.",
                    (Query(mean("rpc_client_call_duration_seconds", "rpc_method", _JOB), "{{rpc_method}}"),),
                    "s",
                ),
                Panel(
                    "Models that it asks",
                    "Mean time of a model's calls, waiting included.",
                    (Query(mean("maas_model_call_duration_seconds", "maas_model", _JOB), "{{maas_model}}"),),
                    "s",
                ),
            ),
        ),
        Row(
            "Load",
            (
                Panel(
                    "Under way",
                    "Calls that are being answered.",
                    (Query(f"sum by (rpc_method) (maas_server_active_calls{{{_CHOSEN}}})", "{{rpc_method}}"),),
                ),
                Panel(
                    "Waiting inside",
                    "In bounded queues; full ones refuse.",
                    (Query(f"sum by (maas_queue) (maas_queue_waiting{_JOB})", "{{maas_queue}}"),),
                ),
                Panel(
                    "Answers of its calls",
                    "By status; what others refuse it comes back to its callers.",
                    (
                        Query(
                            rate("rpc_client_call_duration_seconds_count", "rpc_response_status_code", _JOB),
                            "{{rpc_response_status_code}}",
                        ),
                    ),
                    "reqps",
                ),
                Panel(
                    "Memory",
                    "Resident, by replica.",
                    (Query(f"process_resident_memory_bytes{_JOB}", "{{job}} {{instance}}"),),
                    "bytes",
                ),
                Panel(
                    "Processor",
                    "Cores in use, by replica.",
                    (Query(f"rate(process_cpu_seconds_total{_JOB}[$__rate_interval])", "{{job}} {{instance}}"),),
                ),
                Panel("Open files", "Sockets included.", (Query(f"process_open_fds{_JOB}", "{{job}} {{instance}}"),)),
            ),
        ),
    ),
    (
        Variable("job", "rpc_server_call_duration_seconds_count", "job"),
        Variable("method", 'rpc_server_call_duration_seconds_count{job=~"$job"}', "rpc_method"),
    ),
)
