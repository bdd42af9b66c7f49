"""Trains a sentiment classifier on film reviews: a small head on the lower layers of a frozen sentence encoder.

The upper layers are dropped: they are tuned for what a sentence is about, and on held-out sentences the token states
after the fourth of six layers told more about how it is meant. The head looks at each token by itself, then pools by
learned attention and by maximum. Encoder and head become one ONNX graph.
"""

from __future__ import annotations

import csv
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from deploy.models.builders import BuildError, Work
from deploy.models.builders import Options as BaseOptions
from deploy.models.builders.sentence_encoder import finish, load_encoder

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import onnx
    from numpy.typing import NDArray
    from torch import Tensor, nn

VERSIONS = ("torch", "onnx", "tokenizers")
SOURCE = "rotten_tomatoes"  # of the reviews, those that are single sentences
SEED = 0
HELD_OUT = 0.15
BATCH = 64
MAX_TOKENS = 64
HIDDEN = 128
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
DROPOUT = 0.3
# Reviews are labelled by their critic's verdict, which a sentence does not always show.
LABEL_SMOOTHING = 0.1
LARGEST_DIFFERENCE = 1e-3


class Options(BaseOptions):
    """weights: ONNX encoder; tokenizer, reviews: source files; layer: of the encoder, whose states the head reads."""

    weights: str
    tokenizer: str
    reviews: str
    layer: int = Field(4, ge=1)
    epochs: int = Field(5, ge=1, le=50)
    least_accuracy: float = Field(0.75, gt=0.5, lt=1, description="on held-out reviews; below it the build fails")


@dataclass(frozen=True)
class Batch:
    """Sentences of like length.  states: float32[N, L, width], mask: bool[N, L], labels, held_out: [N]."""

    ids: NDArray[np.int64]
    states: Tensor
    mask: Tensor
    labels: Tensor
    held_out: Tensor


def build(work: Work) -> dict[str, float]:
    """Write model.onnx: input_ids int64[N, L], attention_mask int64[N, L] -> probabilities float32[N, 2]."""
    import torch  # noqa: PLC0415 - heavy

    options: Options = work.options
    torch.manual_seed(SEED)
    encoder = _lower_layers(work.file(options.weights), options.layer)
    batches = _encoded(encoder, work)
    head = _trained(batches, options.epochs, work)
    accuracy = _accuracy(head, batches)
    if accuracy < options.least_accuracy:
        message = (
            f"the sentiment head is right on {accuracy:.0%} of held-out reviews, expected {options.least_accuracy:.0%}."
        )
        raise BuildError(message)
    work.report("joining encoder and head")
    path = work.folder / "model.onnx"
    _join(encoder, head, batches[0], path)
    _compare(path, head, batches[0])
    return {"held_out_accuracy": round(accuracy, 4)}


def _lower_layers(path: Path, layer: int) -> onnx.ModelProto:
    """The encoder up to the end of a layer: its second layer normalisation, after the one of the embeddings."""
    import onnx  # noqa: PLC0415 - heavy
    from onnx.utils import Extractor  # noqa: PLC0415 - heavy

    model = load_encoder(path)
    ends = [node.output[0] for node in model.graph.node if node.op_type == "LayerNormalization"][2::2]
    if layer > len(ends):
        message = f"builder.layer is {layer}, but the encoder has {len(ends)} layers: correct the catalog."
        raise BuildError(message)
    states = onnx.helper.make_tensor_value_info(ends[layer - 1], onnx.TensorProto.FLOAT, ["batch", "sequence", None])
    model.graph.output.append(states)
    return Extractor(model).extract_model(["input_ids", "attention_mask"], [ends[layer - 1]])


def _encoded(encoder: onnx.ModelProto, work: Work) -> list[Batch]:
    """The token states of all reviews, in batches of like length: computed once, read in every epoch."""
    import numpy as np  # noqa: PLC0415 - only when building
    import onnxruntime  # noqa: PLC0415 - heavy
    import torch  # noqa: PLC0415 - heavy
    from tokenizers import Tokenizer  # noqa: PLC0415 - only when building

    texts, labels = _reviews(work.file(work.options.reviews))
    tokenizer = Tokenizer.from_file(str(work.file(work.options.tokenizer)))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    tokens = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    held_out = np.random.default_rng(SEED).random(len(texts)) < HELD_OUT
    settings = onnxruntime.SessionOptions()
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leave a busy machine its processors
    session = onnxruntime.InferenceSession(encoder.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
    batches: list[Batch] = []
    for begin in range(0, len(order), BATCH):
        members = order[begin : begin + BATCH]
        if begin % (20 * BATCH) == 0:
            work.report(f"encoding reviews ({begin * 100 // len(order)} %)")
        ids = np.zeros((len(members), max(len(tokens[member]) for member in members)), np.int64)
        for row, member in enumerate(members):
            ids[row, : len(tokens[member])] = tokens[member]
        mask = ids != 0  # 0 is the padding; a review has no such token
        (states,) = session.run(None, {"input_ids": ids, "attention_mask": mask.astype(np.int64)})
        batches.append(
            Batch(
                ids=ids,
                states=torch.from_numpy(states),
                mask=torch.from_numpy(mask),
                labels=torch.tensor([labels[member] for member in members], dtype=torch.float32),
                held_out=torch.from_numpy(held_out[members]),
            )
        )
    return batches


def _reviews(path: Path) -> tuple[list[str], list[int]]:
    """Texts and labels, 1 for positive. Each sentence is there once, so that none is both learned and held out."""
    csv.field_size_limit(1 << 24)
    with path.open(encoding="utf-8", newline="") as file:
        rows = {row["text"]: int(float(row["label"])) for row in csv.DictReader(file) if row["source"] == SOURCE}
    if not rows:
        message = f"{path.name} holds no reviews from {SOURCE}: correct the catalog."
        raise BuildError(message)
    return list(rows), list(rows.values())


def _head(width: int) -> nn.Module:
    """States float32[N, L, width], mask bool[N, L] -> logit of "positive", float32[N]."""
    import torch  # noqa: PLC0415 - heavy

    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.normalize = torch.nn.LayerNorm(width)
            self.before = torch.nn.Dropout(DROPOUT)
            self.token = torch.nn.Linear(width, HIDDEN)
            self.attention = torch.nn.Linear(width, 1)
            self.after = torch.nn.Dropout(DROPOUT)
            self.verdict = torch.nn.Linear(2 * HIDDEN, 1)

        def forward(self, states: Tensor, mask: Tensor) -> Tensor:
            states = self.before(self.normalize(states))
            hidden = torch.nn.functional.gelu(self.token(states))
            padding = ~mask.unsqueeze(-1)
            share = self.attention(states).masked_fill(padding, -1e4).softmax(dim=1)
            pooled = torch.cat([(share * hidden).sum(dim=1), hidden.masked_fill(padding, -1e4).amax(dim=1)], dim=-1)
            logit: Tensor = self.verdict(self.after(pooled)).squeeze(-1)
            return logit

    return Head()


def _trained(batches: list[Batch], epochs: int, work: Work) -> nn.Module:
    import torch  # noqa: PLC0415 - heavy

    head = _head(batches[0].states.shape[-1])
    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * len(batches))
    head.train()
    for epoch in range(epochs):
        work.report(f"training the head ({epoch + 1} of {epochs})")
        for index in torch.randperm(len(batches)).tolist():
            batch = batches[index]
            learned = ~batch.held_out
            target = batch.labels[learned] * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / 2
            logits = head(batch.states[learned], batch.mask[learned])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return head.eval()


def _accuracy(head: nn.Module, batches: list[Batch]) -> float:
    """The share of held-out reviews that the head judges as their critic did."""
    import torch  # noqa: PLC0415 - heavy

    right = []
    with torch.inference_mode():
        for batch in batches:
            held = batch.held_out
            right.append((head(batch.states[held], batch.mask[held]) > 0) == (batch.labels[held] > 0))
    return float(torch.cat(right).float().mean())


def _join(encoder: onnx.ModelProto, head: nn.Module, batch: Batch, path: Path) -> None:
    """Export the head and append it to the encoder."""
    import onnx  # noqa: PLC0415 - heavy
    import torch  # noqa: PLC0415 - heavy

    class Probabilities(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = head

        def forward(self, states: Tensor, mask: Tensor) -> Tensor:
            positive = torch.sigmoid(self.head(states, mask > 0))
            return torch.stack([1 - positive, positive], dim=-1)

    alone = path.with_name("head.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old exporter says that it is old; the new one has no fixed opset
        torch.onnx.export(
            Probabilities().eval(),
            (batch.states, batch.mask.long()),
            str(alone),
            dynamo=False,
            opset_version=17,
            input_names=["states", "mask"],
            output_names=["probabilities"],
            dynamic_axes={"states": {0: "batch", 1: "sequence"}, "mask": {0: "batch", 1: "sequence"}},
        )
    whole = onnx.compose.add_prefix(onnx.load(str(alone)), "head/", rename_outputs=False)
    alone.unlink()
    # The names that the head reads under: what the encoder's graph calls them.
    graph = encoder.graph
    node = onnx.helper.make_node
    graph.node.append(node("Identity", [graph.output[0].name], ["head/states"]))
    graph.node.append(node("Identity", ["attention_mask"], ["head/mask"]))
    graph.node.extend(whole.graph.node)
    graph.initializer.extend(whole.graph.initializer)
    finish(encoder, "probabilities", path)


def _compare(path: Path, head: nn.Module, batch: Batch) -> None:
    """Fail when the joined graph answers otherwise than what was trained."""
    import numpy as np  # noqa: PLC0415 - only when building
    import onnxruntime  # noqa: PLC0415 - heavy
    import torch  # noqa: PLC0415 - heavy

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = {"input_ids": batch.ids, "attention_mask": batch.mask.long().numpy()}
    (probabilities,) = session.run(["probabilities"], inputs)
    with torch.inference_mode():
        expected = torch.sigmoid(head(batch.states, batch.mask)).numpy()
    difference = float(np.abs(probabilities[:, 1] - expected).max())
    if difference > LARGEST_DIFFERENCE:
        message = (
            f"the joined model and the trained one differ by {difference:.1e}: check the versions of torch and onnx."
        )
        raise BuildError(message)
