"""How well each pair of languages translates here: chrF on every sentence of the quality set, and what was written.

`python -m tests.bench.translation en-zh zh-en` asks the mesh that runs at MAAS_PORT; without arguments all pairs that
it offers. A person reads what was written, and puts chrF and quality into `language_pairs` of the model's catalog
entry: "good" when at most one sentence in 16 says something else than the source, "fair" up to one in four; else the
pair is left out.
"""

from __future__ import annotations

import time
from typing import Annotated

import grpc
import typer
from rich.console import Console

from deploy.local.settings import LocalSettings
from maas.nlp.v1 import nlp_pb2_grpc
from maas.nlp.v1 import translation_pb2 as pb
from tests.e2e.test_translation_quality import SENTENCES, chrf

SECONDS = 1800


def main(names: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Measure these pairs, or all."""
    console = Console()
    with grpc.insecure_channel(f"127.0.0.1:{LocalSettings().port}") as channel:
        stub = nlp_pb2_grpc.NlpServiceStub(channel)
        pairs = stub.ListSupportedLanguagePairs(pb.ListSupportedLanguagePairsRequest()).pairs
        for name in names or [f"{pair.source_language_code}-{pair.target_language_code}" for pair in pairs]:
            source, target = name.split("-")
            begin = time.monotonic()
            request = pb.TranslateTextRequest(
                contents=[each[source][0] for each in SENTENCES],
                source_language_code=source,
                target_language_code=target,
            )
            results = stub.TranslateText(request, timeout=SECONDS).results
            for each in results:
                console.print(f"  {each.translated_text}", soft_wrap=True)
            score = chrf([each.translated_text for each in results], [each[target] for each in SENTENCES])
            console.print(f"{name}: chrF {score:.1f} by {results[0].model}, {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    typer.run(main)
