"""AnswerQuestion over a real socket, with a model that says what is wanted."""

import grpc
import pytest

from maas.nlp.v1 import conversation_pb2 as pb
from maas.nlp.v1 import text_pb2
from services.mesh import errors
from tests.failure import failure
from tests.unit.nlp.language_model import prompts, says, writer

PASSAGES = [text_pb2.Passage(content="Ann lives in Rome. She has 3 cats. Bob lives in Paris.")]


def model(prompt):
    """It finds cats, and answers with a number."""
    if "Answer yes or no" in prompt:
        about_cats = prompt.rsplit("Sentence: ", 1)[1].partition("\n")[0].endswith("3 cats.")
        return says("yes" if about_cats and "cats" in prompt.rsplit("Question: ", 1)[1] else "no")
    return says("3")


async def test_each_question_has_its_own_answer():
    """An answer with the sentence it stands in, none where there is none, and a status where the question is bad."""
    async with writer(model) as (stub, _):
        request = pb.AnswerQuestionRequest(
            questions=["How many cats has Ann?", "How old is Bob?", "", "x" * 1025], passages=PASSAGES
        )
        answered, unanswered, empty, long = (await stub.AnswerQuestion(request)).results
    assert (answered.answered, answered.answer, answered.model) == (True, "3", "writer")
    assert [(each.passage_id, each.span.content) for each in answered.supports] == [("1", "She has 3 cats.")]
    assert answered.score == answered.supports[0].score == pytest.approx(1)
    assert (unanswered.answered, unanswered.answer, list(unanswered.supports)) == (False, "", [])
    assert unanswered.usage.output_tokens > 0
    assert ("questions[2]" in empty.status.message, "questions[3]" in long.status.message) == (True, True)


async def test_the_sentence_before_says_who_she_is():
    """A sentence is judged with the one before it, since it may begin with "She"."""
    async with writer(model) as (stub, inference):
        await stub.AnswerQuestion(pb.AnswerQuestionRequest(questions=["How many cats?"], passages=PASSAGES))
    assert any("Sentence: Ann lives in Rome. She has 3 cats.\n" in prompt for prompt in prompts(inference))


async def test_the_language_of_the_answers_can_be_chosen():
    """The model is told to answer in it; one that it was not made for is refused."""
    async with writer(model) as (stub, inference):
        request = pb.AnswerQuestionRequest(questions=["How many cats?"], passages=PASSAGES, language_code="zh")
        assert (await stub.AnswerQuestion(request)).results[0].answer == "3"
        request.language_code = "fi"
        code, _, bad, _ = await failure(stub.AnswerQuestion(request))
    assert any("只根据所给的句子" in prompt for prompt in prompts(inference))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "language_code")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.AnswerQuestionRequest(passages=PASSAGES), "questions"),
        (pb.AnswerQuestionRequest(questions=["x"] * 17, passages=PASSAGES), "questions"),
        (pb.AnswerQuestionRequest(questions=["x"]), "passages"),
        (pb.AnswerQuestionRequest(questions=["x"], passages=PASSAGES, encoding_type=7), "encoding_type"),
        (pb.AnswerQuestionRequest(questions=["x"], passages=PASSAGES, language_code="!"), "language_code"),
        (pb.AnswerQuestionRequest(questions=["x"], passages=PASSAGES, request_id="7"), "request_id"),
    ],
)
async def test_a_bad_request_is_refused(request_, field):
    """INVALID_ARGUMENT that names the field."""
    async with writer(model) as (stub, _):
        code, _, bad, _ = await failure(stub.AnswerQuestion(request_))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)


async def test_passages_without_words_hold_no_answer():
    """Emoji are compared with nothing, and no model is asked."""
    async with writer(model) as (stub, inference):
        passages = [text_pb2.Passage(content="🎈🎈🎈")]
        response = await stub.AnswerQuestion(pb.AnswerQuestionRequest(questions=["What?"], passages=passages))
    assert not response.results[0].answered
    assert prompts(inference) == []


async def test_the_nearest_of_many_sentences_are_read():
    """Of hundreds of sentences the model is shown at most four, those that share most with the question."""
    content = "".join(f"Zzzzzzzzzzzz number {number}. " for number in range(300)) + "Ann has 3 cats."
    async with writer(model) as (stub, inference):
        request = pb.AnswerQuestionRequest(
            questions=["How many cats has Ann?"], passages=[text_pb2.Passage(content=content)]
        )
        assert (await stub.AnswerQuestion(request)).results[0].answer == "3"
        asked = len(prompts(inference))
        request.questions[0] = "Is it a dog or not?"
        assert not (await stub.AnswerQuestion(request)).results[0].answered
    assert (asked, len(prompts(inference))) == (2, 6)


async def test_a_model_that_fails_fails_its_question_alone():
    """The status of the question has the model's error."""
    fault = errors.Exhausted("the queue of model 'writer' is full", retry_after_seconds=1)
    async with writer(lambda prompt: [fault] if "Who" in prompt.rsplit("Question:", 1)[-1] else model(prompt)) as (
        stub,
        _,
    ):
        request = pb.AnswerQuestionRequest(questions=["How many cats?", "Who is it?"], passages=PASSAGES)
        first, second = (await stub.AnswerQuestion(request)).results
    assert first.answered
    assert second.status.code == 8
