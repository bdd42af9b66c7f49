"""SpeechService: decodes, delegates, encodes. Its RPCs stand in services/speech/rpc, one module an area."""

from __future__ import annotations

from services.mesh.models import Models
from services.mesh.ports import Preprocessor
from services.speech.pipelines.commands.recognizer import CommandRecognizer
from services.speech.pipelines.live.recognizer import LiveRecognizer
from services.speech.pipelines.recognition.recordings import RecordingRecognizer
from services.speech.pipelines.speakers.encoder import SpeakerEncoder
from services.speech.pipelines.synthesis.synthesizer import Synthesizer
from services.speech.rpc.commands import CommandRpcs
from services.speech.rpc.live import LiveRpcs
from services.speech.rpc.recognition import RecognitionRpcs
from services.speech.rpc.speakers import SpeakerRpcs
from services.speech.rpc.synthesis import SynthesisRpcs


class SpeechServicer(RecognitionRpcs, LiveRpcs, SynthesisRpcs, CommandRpcs, SpeakerRpcs):
    """The RPCs of speech."""

    def __init__(
        self,
        models: Models,
        preprocessor: Preprocessor,
        *,
        recordings: RecordingRecognizer,
        live: LiveRecognizer,
        synthesizer: Synthesizer,
        commands: CommandRecognizer,
        speakers: SpeakerEncoder,
    ) -> None:
        self._models = models
        self._preprocessor = preprocessor
        self._recordings = recordings
        self._live = live
        self._synthesizer = synthesizer
        self._commands = commands
        self._speakers = speakers
