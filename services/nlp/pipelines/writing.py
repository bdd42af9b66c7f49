"""What of this service is written by language models, or rests on what they write."""

from __future__ import annotations

from dataclasses import dataclass

from services.mesh.ports import Inference, Preprocessor
from services.nlp.pipelines.analysis.analysis import Analysis
from services.nlp.pipelines.conversation.answer import Answers
from services.nlp.pipelines.conversation.canned import CannedReplies
from services.nlp.pipelines.conversation.evidence import EvidenceFinder
from services.nlp.pipelines.conversation.grounding import Grounding
from services.nlp.pipelines.conversation.reply import Replies
from services.nlp.pipelines.generate import Generator
from services.nlp.pipelines.summary.claims import ClaimCheck
from services.nlp.pipelines.summary.extract import Extractor
from services.nlp.pipelines.summary.summarize import Summarizer


@dataclass(frozen=True, slots=True)
class Writing:
    """The pipelines that share a generator."""

    replies: Replies
    answers: Answers
    summarizer: Summarizer

    @classmethod
    def over(cls, inference: Inference, preprocessor: Preprocessor, analysis: Analysis) -> Writing:
        """On these adapters, and the pipelines that say what texts mean."""
        models, languages, encoder = analysis.models, analysis.languages, analysis.encoder
        generator = Generator(inference)
        grounding = Grounding(generator, EvidenceFinder(encoder, preprocessor, models))
        return cls(
            Replies(generator, grounding, CannedReplies(encoder, models), languages, models),
            Answers(grounding, languages, models),
            Summarizer(generator, Extractor(encoder, preprocessor), ClaimCheck(analysis.entities), languages, models),
        )
