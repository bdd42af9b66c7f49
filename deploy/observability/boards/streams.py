"""What goes on for longer than a call: speech, videos, text as it is written."""

from __future__ import annotations

from deploy.observability.boards.asking import mean, quantile, rate
from deploy.observability.panels import Board, Panel, Query, Row

_WRITING = "gen_ai_server_time_to_first_token_seconds"

BOARD = Board(
    "maas-streams",
    "MaaS streams",
    "Streams of speech, sound, videos and text.",
    (
        Row(
            "Streams",
            (
                Panel("Open", "By method.", (Query("sum by (rpc_method) (maas_stream_active)", "{{rpc_method}}"),)),
                Panel(
                    "Messages in",
                    "From clients.",
                    (
                        Query(
                            rate("maas_stream_messages_total", "rpc_method", '{maas_direction="in"}'), "{{rpc_method}}"
                        ),
                    ),
                    "ops",
                ),
                Panel(
                    "Messages out",
                    "To clients.",
                    (
                        Query(
                            rate("maas_stream_messages_total", "rpc_method", '{maas_direction="out"}'), "{{rpc_method}}"
                        ),
                    ),
                    "ops",
                ),
            ),
        ),
        Row(
            "Sound",
            (
                Panel(
                    "Taken in",
                    "Seconds of sound a second: as many as this speak at once.",
                    (
                        Query(
                            rate("maas_audio_duration_seconds_total", "rpc_method", '{maas_direction="in"}'),
                            "{{rpc_method}}",
                        ),
                    ),
                ),
                Panel(
                    "Given out",
                    "Seconds of sound a second.",
                    (
                        Query(
                            rate("maas_audio_duration_seconds_total", "rpc_method", '{maas_direction="out"}'),
                            "{{rpc_method}}",
                        ),
                    ),
                ),
                Panel(
                    "Waiting",
                    "In the queues of services; the schedule of speech is one.",
                    (Query("sum by (job, maas_queue) (maas_queue_waiting)", "{{job}} {{maas_queue}}"),),
                ),
            ),
        ),
        Row(
            "Text that is written",
            (
                Panel(
                    "First token, 95 of 100",
                    "Until an answer begins.",
                    (Query(quantile(0.95, _WRITING, "gen_ai_request_model"), "{{gen_ai_request_model}}"),),
                    "s",
                ),
                Panel(
                    "Tokens written",
                    "A second.",
                    (
                        Query(
                            rate(
                                "gen_ai_client_token_usage_sum", "gen_ai_request_model", '{gen_ai_token_type="output"}'
                            ),
                            "{{gen_ai_request_model}}",
                        ),
                    ),
                ),
                Panel(
                    "Tokens read",
                    "Mean of a request.",
                    (
                        Query(
                            mean("gen_ai_client_token_usage", "gen_ai_request_model", '{gen_ai_token_type="input"}'),
                            "{{gen_ai_request_model}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
