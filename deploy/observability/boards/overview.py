"""Is the mesh well, and if not, where is it ill."""

from __future__ import annotations

from deploy.observability.boards.asking import OURS, RATE, faults, mean, quantile, rate
from deploy.observability.objectives import DURATION
from deploy.observability.panels import Board, Panel, Query, Row

_PUBLIC = '{envoy_http_conn_manager_prefix="public"}'
_SERVICES = '{envoy_cluster_name!="tracing"}'

BOARD = Board(
    "maas-overview",
    "MaaS overview",
    "Traffic, failures and durations of the whole mesh, and what is down.",
    (
        Row(
            "Now",
            (
                Panel(
                    "Calls",
                    "Requests at the gateway.",
                    (Query(f"sum(rate(envoy_http_downstream_rq_total{_PUBLIC}[{RATE}]))"),),
                    "reqps",
                    "number",
                    4,
                ),
                Panel(
                    "Failing",
                    "Calls that fail by a fault of the mesh. Promises are on the dashboard of objectives.",
                    (Query(faults("part_of").replace("sum by (part_of)", "sum")),),
                    "percentunit",
                    "number",
                    4,
                ),
                Panel(
                    "Time, 95 of 100",
                    "Of unary calls and streams of all services.",
                    (Query(f"histogram_quantile(0.95, sum by (le) (rate({DURATION}_bucket[{RATE}])))"),),
                    "s",
                    "number",
                    4,
                ),
                Panel(
                    "Under way",
                    "Calls that are being answered.",
                    (Query("sum(maas_server_active_calls)"),),
                    "short",
                    "number",
                    4,
                ),
                Panel(
                    "Away",
                    "Processes that do not tell their metrics. Should be 0.",
                    (Query(f"count(up{OURS} == 0) or vector(0)"),),
                    "short",
                    "number",
                    4,
                ),
                Panel(
                    "Alerts",
                    "That fire. The runbook says what to do.",
                    (Query('count(ALERTS{alertstate="firing"}) or vector(0)'),),
                    "short",
                    "number",
                    4,
                ),
            ),
        ),
        Row(
            "Calls",
            (
                Panel(
                    "Calls by service",
                    "Those that services make of each other included.",
                    (Query(rate(f"{DURATION}_count", "job"), "{{job}}"),),
                    "reqps",
                ),
                Panel(
                    "Failing by service",
                    "The share that fails by a fault of the mesh; a full mesh counts.",
                    (Query(faults("job"), "{{job}}"),),
                    "percentunit",
                ),
                Panel(
                    "Time, 95 of 100",
                    "The slowest twentieth takes longer.",
                    (Query(quantile(0.95, DURATION, "job"), "{{job}}"),),
                    "s",
                ),
                Panel(
                    "Answers by status",
                    "Of all services.",
                    (Query(rate(f"{DURATION}_count", "rpc_response_status_code"), "{{rpc_response_status_code}}"),),
                    "reqps",
                ),
                Panel(
                    "Under way",
                    "Grows when answers take longer.",
                    (Query("sum by (job) (maas_server_active_calls)", "{{job}}"),),
                ),
                Panel(
                    "Gateway: answers",
                    "By class of HTTP status. gRPC failures are 200 here.",
                    (
                        Query(
                            rate("envoy_http_downstream_rq_xx", "envoy_response_code_class", _PUBLIC),
                            "{{envoy_response_code_class}}xx",
                        ),
                    ),
                    "reqps",
                ),
            ),
        ),
        Row(
            "Resilience",
            (
                Panel(
                    "Gateway: well behind it",
                    "Replicas that the gateway finds well. At 0 all calls of that service fail.",
                    (
                        Query(
                            f"sum by (envoy_cluster_name) (envoy_cluster_membership_healthy{_SERVICES})",
                            "{{envoy_cluster_name}}",
                        ),
                    ),
                ),
                Panel(
                    "Gateway: tried again",
                    "Calls that failed and were safe to repeat.",
                    (Query(rate("envoy_cluster_upstream_rq_retry", "envoy_cluster_name"), "{{envoy_cluster_name}}"),),
                    "reqps",
                ),
                Panel(
                    "Router: made again or twice",
                    "Retries after failures, and hedges of slow calls.",
                    (Query(rate("maas_router_extra_calls_total", "reason"), "{{reason}}"),),
                    "reqps",
                    empty="nothing was made again",
                ),
                Panel(
                    "Router: not asked for the moment",
                    "Upstreams and models that failed too often.",
                    (Query("max by (instance) (maas_router_open_circuits)", "{{instance}}"),),
                ),
                Panel(
                    "Found in caches",
                    "Answers that were there already.",
                    (
                        Query(
                            f'sum by (cache) (rate(maas_cache_lookups_total{{outcome!="miss"}}[{RATE}])) '
                            f"/ (sum by (cache) (rate(maas_cache_lookups_total[{RATE}])) > 0)",
                            "{{cache}}",
                        ),
                    ),
                    "percentunit",
                    empty="nothing was found yet",
                ),
                Panel(
                    "Gateway: thrown out",
                    "Replicas that say they are well and fail calls.",
                    (
                        Query(
                            "sum by (envoy_cluster_name) (envoy_cluster_outlier_detection_ejections_active)",
                            "{{envoy_cluster_name}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Processes",
            (
                Panel(
                    "Memory",
                    "Resident, of services.",
                    (Query("process_resident_memory_bytes", "{{job}} {{instance}}"),),
                    "bytes",
                ),
                Panel(
                    "Processor",
                    "Cores in use, of services.",
                    (Query(f"rate(process_cpu_seconds_total[{RATE}])", "{{job}} {{instance}}"),),
                ),
                Panel(
                    "Event loops late",
                    "On average. Above a few milliseconds something computes where it should not.",
                    (Query(mean("maas_event_loop_lag_seconds", "job"), "{{job}}"),),
                    "s",
                ),
            ),
        ),
    ),
)
