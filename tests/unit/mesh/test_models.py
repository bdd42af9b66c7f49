"""Which models a service sees."""

import pytest

from services.mesh import errors
from services.mesh.models import ModelCard, Models
from services.mesh.testing import known_models

A = ModelCard(name="a", task="t", summary="A.", languages=("en", "zh"))
B = ModelCard(name="b", task="t", summary="B.", default=True)
OTHER = ModelCard(name="o", task="other", summary="O.")


class Source:
    """A source whose answer a test changes."""

    def __init__(self, *cards: ModelCard) -> None:
        self.cards = cards
        self.down = False

    async def list_models(self, known):
        if self.down:
            raise errors.Unavailable("down")
        return {card.name: card for card in self.cards}, {card.name for card in self.cards}


async def test_no_name_means_the_default():
    """The card marked as default answers requests that name none."""
    models = await known_models(A, B)
    assert models.pick("t", "") is B
    assert models.pick("t", "a") is A


async def test_of_several_defaults_the_one_that_knows_the_language_is_taken():
    """A task may have a default a language; a language that none knows gets the task's default all the same."""
    english = ModelCard(name="zz", task="t", summary="E.", default=True, languages=("en",))
    chinese = ModelCard(name="aa", task="t", summary="C.", default=True, languages=("zh",))
    models = await known_models(english, chinese)
    assert models.pick("t", "", language_code="en-US") is english
    assert models.pick("t", "", language_code="zh-Hans") is chinese
    assert models.pick("t", "", language_code="fr") is chinese  # the first by name


async def test_an_optional_task_without_a_model_is_unimplemented():
    """It does not keep the service unready, and asking for it says that it will not come; unless Triton is away."""
    models = await known_models(A, optional_tasks=["big"])
    assert models.ready()
    with pytest.raises(errors.Unimplemented) as caught:
        models.pick("big", "")
    assert caught.value.metadata == {"task": "big"}
    unreachable = Models(Source(), ["t"], optional_tasks=["big"], poll_seconds=2)
    with pytest.raises(errors.Unavailable):
        unreachable.pick("big", "")


async def test_an_unknown_model_is_not_found():
    """The error lists the models of that task and no others."""
    models = await known_models(A, B, OTHER)
    with pytest.raises(errors.NotFound) as caught:
        models.pick("t", "nope")
    assert caught.value.metadata["known"] == "a, b"


async def test_a_loading_model_is_unavailable_with_a_time_to_retry():
    """A model that Triton knows but has not loaded yet may be asked for again soon."""
    models = await known_models(A, B, loading=["a"])
    with pytest.raises(errors.Unavailable) as caught:
        models.pick("t", "a")
    assert caught.value.reason == "MODEL_LOADING"
    assert caught.value.retry_after_seconds > 0


async def test_nothing_is_ready_while_the_source_is_down():
    """When Triton is gone, names are unavailable, not unknown; when it is back, so are they."""
    source = Source(A)
    models = Models(source, ["t"], poll_seconds=2)
    assert not models.ready()
    await models.refresh()
    assert models.ready()
    source.down = True
    await models.refresh()
    assert not models.ready()
    with pytest.raises(errors.Unavailable):
        models.pick("t", "a")
    source.down = False
    await models.refresh()
    assert models.pick("t", "a") is A


async def test_a_service_is_ready_when_each_task_has_a_model():
    """One task without a model keeps the service unready; models of other services' tasks do not count."""
    models = Models(Source(A, OTHER), ["t", "u"], poll_seconds=2)
    await models.refresh()
    assert not models.ready()
    assert [card.name for card in models.listing()] == ["a"]


def test_a_language_is_checked_by_its_primary_tag():
    """A model takes en-GB as en; an unknown language is refused with those it knows; none means the first."""
    assert [A.require_language(code) for code in ("", "zh-Hans", "EN-gb")] == ["en", "zh", "en"]
    with pytest.raises(errors.InvalidArgument) as caught:
        A.require_language("fr")
    assert "en, zh" in caught.value.message


async def test_models_that_come_and_go_are_told(measured):
    """A model is 1 while it is ready and 0 while it is not; that it came, went or changed its version is counted."""
    source = Source(A, B)
    models = Models(source, ["t"], poll_seconds=2)
    await models.refresh()
    assert [measured.now("maas_model_ready", maas_model=name) for name in ("a", "b")] == [1, 1]
    source.cards = (A.model_copy(update={"version": "2"}),)
    await models.refresh()
    source.down = True
    await models.refresh()
    assert measured.now("maas_model_ready", maas_model="a") == 0
    assert "b" not in measured.values("maas_model_ready", "maas_model")
    told = [
        measured.added("maas_model_changes_total", maas_model=model, maas_change=change)
        for model, change in (("a", "appeared"), ("b", "appeared"), ("a", "changed"), ("b", "disappeared"))
    ]
    assert told == [1, 1, 1, 1]
    assert measured.added("maas_model_changes_total", maas_model="o") == 0
