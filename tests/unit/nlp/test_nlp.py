"""What GetNlpConfig tells."""

from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.nlp.app import servicer
from tests.unit.nlp.analysis import CARDS, answer


async def test_the_configuration_lists_what_is_ready():
    """Models that are still loading are not listed."""
    known = await known_models(*CARDS, loading=["embedder", "topics"])
    async with serve(servicer(FakeInference(answer), FakePreprocessor(), known)) as channel:
        config = await nlp_pb2_grpc.NlpServiceStub(channel).GetNlpConfig(pb.GetNlpConfigRequest())
    assert [(model.name, model.task) for model in config.models] == [
        ("names-en", "entity-recognition"),
        ("judge", "sentiment-analysis"),
    ]
