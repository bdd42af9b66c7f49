"""Makes results of readings: their times, numbers and captions."""

from __future__ import annotations

from services.speech.pipelines.live.endpoints import Span
from services.speech.pipelines.live.interim import SoFar
from services.speech.pipelines.live.plan import LivePlan, Result
from services.speech.pipelines.live.timeline import Timeline
from services.speech.pipelines.recognition.captions import Captions
from services.speech.pipelines.recognition.transcriber import Transcript


class Results:
    """Numbers the results and the cues of one transcript, over all its calls."""

    def __init__(self, plan: LivePlan, timeline: Timeline) -> None:
        self._timeline = timeline
        self._word_times = plan.word_times
        self.finals = plan.resume.final_results if plan.resume else 0
        self._cues = plan.resume.cues if plan.resume else 0
        self._captions = Captions(plan.captions, self._cues) if plan.captions else None

    def final(self, transcript: Transcript, span: Span, language: str, probability: float) -> Result:
        """The next final result."""
        begin = self._timeline.seconds(span.begin)
        segments = [segment.later(begin) for segment in transcript.segments]
        words = tuple(word for segment in segments for word in segment.words)
        captions = ""
        # A file begins with its first cue, so that a stream without one so far begins none.
        if self._captions and segments:
            captions = self._captions.render(segments)
            self._cues = self._captions.cues
        index = self.finals
        self.finals += 1
        return Result(
            transcript=transcript.text,
            is_final=True,
            stability=1.0,
            stable_transcript=transcript.text,
            begin=self._timeline.seconds(span.speech_begin),
            end=self._timeline.seconds(span.end),
            index=index,
            language=language,
            language_probability=probability,
            confidence=confidence(transcript),
            words=words if self._word_times else (),
            captions=captions,
            cues=self._cues,
        )

    def interim(self, so_far: SoFar, language: str, probability: float) -> Result:
        """What is shown of the utterance that goes on."""
        return Result(
            transcript=so_far.interim.transcript,
            is_final=False,
            stability=so_far.interim.stability,
            stable_transcript=so_far.interim.stable_transcript,
            begin=self._timeline.seconds(so_far.begin),
            end=self._timeline.seconds(so_far.end),
            index=self.finals,
            language=language,
            language_probability=probability,
            cues=self._cues,
        )


def confidence(transcript: Transcript) -> float:
    """Of a whole transcript: that of its segments, by their lengths as text; 0 when there are none."""
    lengths = [len(segment.text) for segment in transcript.segments]
    weighed = sum(length * segment.confidence for length, segment in zip(lengths, transcript.segments, strict=True))
    return weighed / sum(lengths) if sum(lengths) else 0.0
