"""`maas nlp`: what texts say and mean, in other words and other languages."""

from __future__ import annotations

import typer

from services.cli.nlp import analysis, answers, chat, summary, translation

_ANALYSE, _WRITE, _FIND_OUT = "Analyse texts", "Write texts", "Find out"

app = typer.Typer(
    no_args_is_help=True,
    help="What texts say and mean, in other words and other languages.\n\nTexts are typed (TEXT ...), come a line "
    "each on standard input (-), or a file each (--file PATH).",
)
for panel, commands in (
    (_ANALYSE, (analysis.sentiment, analysis.classify, analysis.entities, analysis.embed, analysis.annotate)),
    (_WRITE, (translation.translate, summary.summarize, answers.ask, answers.reply, chat.chat)),
    (_FIND_OUT, (translation.language_pairs, analysis.config)),
):
    for command in commands:
        app.command(rich_help_panel=panel)(command)
