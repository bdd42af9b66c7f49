"""EmbedSpeaker and VerifySpeaker."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maas.speech.v1 import speaker_pb2 as pb
from maas.speech.v1 import speech_pb2_grpc
from maas.type.v1 import media_pb2
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.deadline import Deadline
from services.mesh.durations import to_duration
from services.mesh.media import media_bytes
from services.mesh.models import ModelCard, Models
from services.mesh.ports import Preprocessor
from services.mesh.request import fraction, request_id
from services.mesh.server import budget
from services.mesh.together import together
from services.speech.pipelines.speakers.encoder import SpeakerEncoder, Voice, similarity

TASK = "speaker-embedding"

# How far from 1 the length of a vector may be that a caller sends back.
_ROUNDING = 1e-3


class SpeakerRpcs(speech_pb2_grpc.SpeechServiceServicer):
    """The RPCs that compare voices."""

    _models: Models
    _preprocessor: Preprocessor
    _speakers: SpeakerEncoder

    async def EmbedSpeaker(self, request: pb.EmbedSpeakerRequest, context: Context) -> pb.EmbedSpeakerResponse:
        """A voice as a vector."""
        echo, deadline = request_id(request), budget(context)
        card = self._models.pick(TASK, request.model)
        voice = await self._voice("audio", request.audio, card, deadline)
        return pb.EmbedSpeakerResponse(
            embedding=voice.embedding.tolist(),
            speech_duration=to_duration(voice.speech_seconds),
            model=card.name,
            request_id=echo,
        )

    async def VerifySpeaker(self, request: pb.VerifySpeakerRequest, context: Context) -> pb.VerifySpeakerResponse:
        """Whether two recordings, or a recording and a vector, are of one voice."""
        echo, deadline = request_id(request), budget(context)
        card = self._models.pick(TASK, request.model)
        threshold = _threshold(card, request.threshold)
        if not request.WhichOneof("reference"):
            raise errors.InvalidArgument.field("other_audio", "is required, or other_embedding instead")
        if request.HasField("other_embedding"):
            reference = _vector(request.other_embedding)
            voices = [await self._voice("audio", request.audio, card, deadline)]
            reference = _of_size(reference, voices[0], card)
        else:
            recordings = (("audio", request.audio), ("other_audio", request.other_audio))
            voices = await together(self._voice(field, audio, card, deadline) for field, audio in recordings)
            reference = voices[1].embedding
        found = similarity(voices[0].embedding, reference)
        return pb.VerifySpeakerResponse(
            same_speaker=found >= threshold,
            similarity=found,
            threshold=threshold,
            speech_duration=to_duration(min(voice.speech_seconds for voice in voices)),
            model=card.name,
            request_id=echo,
        )

    async def _voice(self, field: str, audio: media_pb2.Audio, card: ModelCard, deadline: Deadline) -> Voice:
        content = await media_bytes(field, audio, self._preprocessor, deadline)
        return await self._speakers.encode(content, card, field=f"{field}.content", deadline=deadline)


def _threshold(card: ModelCard, value: float) -> float:
    """What is wanted, or for 0 what was measured for the model."""
    chosen = fraction("threshold", value, default=float(card.postprocess.get("threshold", 0)))
    if not chosen:
        raise errors.InvalidArgument.field("threshold", f"is required: none was measured for model {card.name!r}")
    return chosen


def _vector(message: pb.SpeakerEmbedding) -> NDArray[np.float32]:
    vector = np.array(message.embedding, np.float32)
    length = float(np.linalg.norm(vector))
    if not abs(length - 1) <= _ROUNDING:  # not a number is refused as well
        raise errors.InvalidArgument.field("other_embedding.embedding", f"takes a vector of length 1, got {length:g}")
    return vector


def _of_size(vector: NDArray[np.float32], voice: Voice, card: ModelCard) -> NDArray[np.float32]:
    size = len(voice.embedding)
    if len(vector) != size:
        raise errors.InvalidArgument.field(
            "other_embedding.embedding", f"takes the {size} numbers of model {card.name!r}, got {len(vector)}"
        )
    return vector
