"""`maas nlp ask` and `reply`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from maas.nlp.v1 import conversation_pb2 as pb
from services.cli.client import connect
from services.cli.nlp.analysis import SERVICE
from services.cli.nlp.conversation import PassageFiles, PassageTexts, canned_replies, messages, passages
from services.cli.nlp.findings import failed, usage
from services.cli.nlp.written import Stream, print_pieces, print_texts, streams, tell
from services.cli.options import WRITING_SECONDS, Address, Json, Model, Timeout
from services.cli.output import excerpt, show, to_json
from services.cli.texts import Files, Texts, read, read_file

_HOW = "How it writes"

System = Annotated[str, typer.Option(metavar="TEXT", help="How the model is to behave.")]
MaxTokens = Annotated[int, typer.Option(metavar="N", help="At most so many tokens; 0 means 256.", rich_help_panel=_HOW)]
Temperature = Annotated[
    float | None,
    typer.Option(metavar="0..2", help="Randomness; 0 takes the likeliest words.", rich_help_panel=_HOW),
]
Seed = Annotated[
    int | None, typer.Option(metavar="N", help="Makes the same request give the same reply.", rich_help_panel=_HOW)
]
Stop = Annotated[
    list[str] | None,
    typer.Option("--stop", metavar="TEXT", help="The reply ends before this. Repeat.", rich_help_panel=_HOW),
]


def ask(
    questions: Annotated[
        list[str], typer.Argument(metavar="QUESTION", help="Questions; - reads standard input, one a line.")
    ],
    *,
    address: Address,
    passage_files: PassageFiles = None,
    passage_texts: PassageTexts = None,
    language: Annotated[
        str, typer.Option(metavar="CODE", help="Language of the answers, BCP-47. Without it, that of each question.")
    ] = "",
    model: Model = "",
    timeout: Timeout = WRITING_SECONDS,
    as_json: Json = False,
) -> None:
    """Answer questions from passages, and show where the answers stand.

    Example: maas nlp ask "How long is the guarantee?" --passage manual.txt
    """
    if not (passage_files or passage_texts):
        raise typer.BadParameter("give the texts that have the answers: --passage FILE or --passage-text TEXT")
    request = pb.AnswerQuestionRequest(
        questions=read(questions, None),
        passages=passages(passage_files, passage_texts),
        language_code=language,
        model=model,
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/AnswerQuestion", request, pb.AnswerQuestionResponse)
        show(answer, answered(request.questions, answer), as_json=as_json)


def reply(
    contents: Texts = None,
    *,
    address: Address,
    files: Files = None,
    conversation: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What was said before (YAML or JSON: a list of role and content)."),
    ] = None,
    system: System = "",
    passage_files: PassageFiles = None,
    passage_texts: PassageTexts = None,
    canned: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Prepared replies, taken when one fits (YAML or CSV: question, reply)."),
    ] = None,
    canned_only: Annotated[bool, typer.Option("--canned-only", help="A prepared reply or none.")] = False,
    min_canned_score: Annotated[
        float, typer.Option(metavar="0..1", help="How alike its question must be; 0 leaves it to the model.")
    ] = 0.0,
    max_tokens: MaxTokens = 0,
    temperature: Temperature = None,
    top_p: Annotated[
        float, typer.Option(metavar="0..1", help="Only the likeliest words of this share.", rich_help_panel=_HOW)
    ] = 0.0,
    seed: Seed = None,
    stop: Stop = None,
    schema: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A JSON Schema; the reply is then JSON that fits.", rich_help_panel=_HOW),
    ] = None,
    stream: Stream = None,
    model: Model = "",
    timeout: Timeout = WRITING_SECONDS,
    as_json: Json = False,
) -> None:
    """Write the reply to a message: freely, from passages, or by a prepared reply.

    Several messages are answered each by itself. Standard output has the replies and nothing else.
    Example: maas nlp reply "When do you open?" --passage hours.txt
    """
    before = messages(conversation) if conversation else []
    request = pb.GenerateReplyRequest(
        messages=[*system_message(system), *before],
        passages=passages(passage_files, passage_texts),
        canned_replies=canned_replies(canned) if canned else [],
        canned_reply_mode=pb.CANNED_REPLY_MODE_ONLY if canned_only else pb.CANNED_REPLY_MODE_UNSPECIFIED,
        min_canned_score=min_canned_score,
        parameters=pb.GenerationParameters(
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            stop_sequences=stop or [],
            response_json_schema=read_file(schema) if schema else "",
        ),
        model=model,
    )
    if conversation and not (contents or files):
        requests = [request]
    else:
        requests = [_with_message(request, text) for text in read(contents, files, what="a message")]
    with connect(address, timeout) as mesh:
        if streams(stream, len(requests), as_json=as_json):
            streamed = pb.StreamGenerateReplyRequest(request=requests[0])
            with mesh.stream(f"{SERVICE}/StreamGenerateReply", streamed, pb.StreamGenerateReplyResponse) as pieces:
                last = print_pieces(pieces, [], as_json=as_json)
            if last and not as_json:
                tell(remarks(last.response))
            return
        answer: pb.GenerateReplyResponse | pb.BatchGenerateReplyResponse
        if len(requests) == 1:
            answer = mesh.call(f"{SERVICE}/GenerateReply", requests[0], pb.GenerateReplyResponse)
            results = [pb.ReplyResult(response=answer)]
        else:
            batch = pb.BatchGenerateReplyRequest(requests=requests)
            answer = mesh.call(f"{SERVICE}/BatchGenerateReply", batch, pb.BatchGenerateReplyResponse)
            results = list(answer.results)
        if as_json:
            print(to_json(answer))
            return
        print_texts(
            [result.response.reply for result in results],
            [
                [failed(result.status, "")] if result.HasField("status") else remarks(result.response)
                for result in results
            ],
        )


def _with_message(request: pb.GenerateReplyRequest, text: str) -> pb.GenerateReplyRequest:
    """The same request with one more message of the user."""
    made = pb.GenerateReplyRequest()
    made.CopyFrom(request)
    made.messages.add(role=pb.ROLE_USER, content=text)
    return made


def remarks(answer: pb.GenerateReplyResponse) -> list[Text]:
    """What there is to say about a reply: why it is what it is, the passages it rests on, who wrote it."""
    lines = []
    if answer.HasField("canned_match"):
        match = answer.canned_match
        lines.append(Text(f"prepared reply {match.index + 1}, {match.score:.2f} alike", "dim"))
    elif not answer.reply:
        lines.append(Text("no prepared reply fits", "yellow"))
    if answer.grounding == pb.GROUNDING_NOT_IN_PASSAGES:
        lines.append(Text("the passages do not contain the answer", "yellow"))
    if answer.finish_reason == pb.FINISH_REASON_LENGTH:
        lines.append(Text("it was cut at the most tokens; --max-tokens allows more", "yellow"))
    told = [f"by {answer.model}"] if answer.model else []
    if answer.usage.output_tokens:
        told.append(usage(answer.usage))
    by = [Text(" · ".join(told), "dim")] if told else []
    return [*lines, *quoted(answer.citations), *by]


def quoted(citations: Iterable[pb.Citation]) -> list[Text]:
    """A line for each passage that is cited, with its words."""
    return [
        Text.assemble(
            "  ", (each.passage_id, "cyan"), f': "{excerpt(each.span.content)}"', (f"  {each.score:.2f}", "dim")
        )
        for each in citations
    ]


def answered(questions: Sequence[str], answer: pb.AnswerQuestionResponse) -> RenderableType:
    """Each question's answer with the words of the passages that support it."""
    parts: list[RenderableType] = []
    for question, result in zip(questions, answer.results, strict=False):
        if len(questions) > 1:
            parts.append(Text(excerpt(question), "dim"))
        if result.HasField("status"):
            parts.append(failed(result.status, "" if len(questions) > 1 else question))
        elif result.answered:
            parts.append(Text.assemble((result.answer, "bold"), (f"  {result.score:.2f}", "dim")))
            parts += quoted(result.supports)
        else:
            parts.append(Text("the passages do not contain the answer", "yellow"))
        parts.append("")
    return Group(*parts[:-1])


def system_message(text: str) -> list[pb.ChatMessage]:
    """The message that says how the model is to behave, unless that is left open."""
    return [pb.ChatMessage(role=pb.ROLE_SYSTEM, content=text)] if text else []
