"""The mesh from Python, where a generated stub alone would leave much to do: live recognition that resumes by itself.

Example::

    async with grpc.aio.insecure_channel("127.0.0.1:8080") as channel:
        config = live_pb2.StreamingRecognizeConfig(format=..., interim_results=True)
        async for answer in recognize_stream(channel, config, microphone()):
            print(answer.result.transcript)
"""

from __future__ import annotations

from services.client.patience import Patience
from services.client.recognition import CannotResume, recognize_stream

__all__ = ["CannotResume", "Patience", "recognize_stream"]
