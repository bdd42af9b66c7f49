"""`maas speech`: from sound to words and from words to sound."""

from __future__ import annotations

import typer

from services.cli.speech import commands, listening, recognition, speakers, speaking

_HEAR, _SPEAK, _COMMANDS = "Hear", "Speak", "Commands and speakers"

app = typer.Typer(
    no_args_is_help=True,
    help="From sound to words and from words to sound.\n\nA FILE is a sound, or - for standard input, also of a "
    "program that records: arecord -q -t wav -f S16_LE -r 16000 | maas speech listen -. Ctrl-C ends such a sound; "
    "what was said until then is still written down.",
)
for panel, found in (
    (_HEAR, (recognition.transcribe, listening.listen, recognition.recognize)),
    (_SPEAK, (speaking.speak, speaking.voices)),
    (_COMMANDS, (commands.command,)),
):
    for each in found:
        app.command(rich_help_panel=panel)(each)
app.add_typer(speakers.app, name="speaker", rich_help_panel=_COMMANDS)
app.command(rich_help_panel="Find out")(recognition.config)
