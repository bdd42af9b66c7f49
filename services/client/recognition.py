"""Live recognition that resumes by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc.aio
from grpc.aio import AioRpcError

from maas.speech.v1 import live_pb2 as pb
from maas.speech.v1.speech_pb2_grpc import SpeechServiceStub
from maas.type.v1 import media_pb2
from services.client.ending import Ending
from services.client.kept import Kept, SourceFailed
from services.client.patience import Patience, Tries
from services.client.progress import Progress

if TYPE_CHECKING:
    from maas.speech.v1.speech_pb2_grpc import SpeechServiceAsyncStub

_KEPT_BYTES = 8 * 1024 * 1024
# The longest utterance and what surrounds it must fit into what is kept, or its end would be waited for for ever.
_KEPT_SECONDS = 40
_SAMPLE_BYTES = {
    media_pb2.AUDIO_STREAM_ENCODING_LINEAR16: 2,
    media_pb2.AUDIO_STREAM_ENCODING_MULAW: 1,
    media_pb2.AUDIO_STREAM_ENCODING_ALAW: 1,
    media_pb2.AUDIO_STREAM_ENCODING_FLOAT32: 4,
}


class CannotResume(Exception):
    """The connection broke, and the beginning of the container is no longer kept. The cause is the call's error."""


async def recognize_stream(
    channel: grpc.aio.Channel,
    config: pb.StreamingRecognizeConfig,
    audio: AsyncIterator[bytes | pb.StreamControl],
    *,
    kept_bytes: int = _KEPT_BYTES,
    patience: Patience | None = None,
    wait_for_place_seconds: float = 0.0,
    metadata: Sequence[tuple[str, str]] = (),
    on_break: Callable[[AioRpcError, float], None] | None = None,
) -> AsyncGenerator[pb.StreamingRecognizeResponse, None]:
    """Write down speech while it is spoken, over as many calls of StreamingRecognize as it takes.

    When a connection breaks, a server drains or a call has reached its longest time, another call goes on where the
    last answer left off, so that the answers are one transcript with nothing lost and nothing doubled. Interim results
    that came before are void then.

    config: as the contract says. With `resume`, to go on with a transcript of an earlier process, the sound begins at
    its `acknowledged_bytes`.
    audio: bytes of any length, and controls, in the order in which they are to take effect. What it raises is raised
    here, after the sound before it was sent. It is read ahead of what the answers account for by `kept_bytes` at most,
    or by 40 seconds of sound if that is more: so much is kept in memory, to be sent again. Sound without a container
    is best, since it is let go as it is accounted for. Of a container everything is kept, and one that grows longer
    cannot be resumed.
    patience: how often another call is tried. wait_for_place_seconds: how long to wait where the mesh cannot take one
    more live stream. on_break: told each failure that is followed by another try, and the seconds until then.

    Raises grpc.aio.AioRpcError for everything else, and when patience is over; CannotResume. Leave it early through
    contextlib.aclosing, or by cancelling the task; either ends the call and closes the source.
    """
    container = config.format.encoding == media_pb2.AUDIO_STREAM_ENCODING_UNSPECIFIED
    limit_bytes = max(kept_bytes, _KEPT_SECONDS * bytes_per_second(config.format))
    kept = Kept(limit_bytes, container=container, begin=config.resume.acknowledged_bytes)
    # A copy of the caller's configuration: a control may change the language for the calls that follow.
    progress = Progress(pb.StreamingRecognizeConfig.FromString(config.SerializeToString()), kept)
    tries = Tries(patience or Patience(), wait_for_place_seconds)
    reader = asyncio.create_task(kept.fill(audio))
    try:
        while True:
            try:
                async with aclosing(_one_call(channel, progress, metadata)) as answers:
                    async for answer, accounts in answers:
                        if accounts:
                            tries.progress()
                        yield answer
                        if answer.HasField("end"):
                            return
            except SourceFailed as failed:
                raise (failed.__cause__ or failed) from None
            except AioRpcError as error:
                failure = error
            else:
                return
            pause_seconds = tries.pause_seconds(failure, answered=progress.has_begun)
            if not progress.can_go_on:
                raise CannotResume(
                    "the connection broke, and the beginning of the container is no longer kept; "
                    "keep more bytes, or send sound without a container"
                ) from failure
            if on_break:
                on_break(failure, pause_seconds)
            await asyncio.sleep(pause_seconds)
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


async def _one_call(
    channel: grpc.aio.Channel, progress: Progress, metadata: Sequence[tuple[str, str]]
) -> AsyncGenerator[tuple[pb.StreamingRecognizeResponse, bool], None]:
    """The answers of one call that are news to the caller, and whether each accounts for more of the sound."""
    stub: SpeechServiceAsyncStub = SpeechServiceStub(channel)
    call = stub.StreamingRecognize(metadata=tuple(metadata))
    ending = Ending(call)
    sender = asyncio.create_task(_send(call, progress.next_call(), progress.kept))
    try:
        async for answer in call:
            is_news, accounts = progress.take(answer)
            if is_news:
                yield answer, accounts
    except AioRpcError as error:
        if (meant := await ending.meant(error)) is not None:
            raise meant from None
    except asyncio.CancelledError:
        source = sender.exception() if sender.done() and not sender.cancelled() else None
        if isinstance(source, SourceFailed) and source.__cause__ is not None:
            raise source from source.__cause__
        raise
    finally:
        sender.cancel()
        call.cancel()
        await asyncio.gather(sender, return_exceptions=True)


async def _send(call: Any, config: pb.StreamingRecognizeConfig, kept: Kept) -> None:
    """Send all that is kept and all that comes. A call that has failed tells that to whoever reads its answers."""
    try:
        await call.write(pb.StreamingRecognizeRequest(config=config))
        async for request in kept.replay():
            await call.write(request)
        await call.done_writing()
    except SourceFailed:
        call.cancel()
        raise
    except (AioRpcError, asyncio.InvalidStateError):
        return


def bytes_per_second(sound: media_pb2.AudioStreamFormat) -> int:
    """The data rate of sound without a container; 0 of a container."""
    return _SAMPLE_BYTES.get(sound.encoding, 0) * sound.sample_rate_hertz * (sound.channels or 1)
