"""Softmax regression on embeddings, calibrated, as a two-operator ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

SEED = 0
FOLDS = 5
PENALTIES = (0.1, 0.05, 0.02, 0.01, 0.005)
STEPS = 100
BINS = 15


@dataclass(frozen=True)
class Head:
    """weights float64[width, classes] and bias float64[classes] give logits; temperature divides them."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    temperature: float = 1.0

    def probabilities(self, vectors: NDArray[np.float32], temperature: float | None = None) -> NDArray[np.float64]:
        """float64[N, classes]; temperature: instead of the head's own."""
        return _softmax((vectors @ self.weights + self.bias) / (temperature or self.temperature))

    def save(self, path: Path) -> None:
        """Write embedding float32[N, width] -> probabilities float32[N, classes] as ONNX."""
        import numpy as np  # noqa: PLC0415 - only when building
        import onnx  # noqa: PLC0415 - heavy

        helper, real = onnx.helper, onnx.TensorProto.FLOAT
        width, classes = self.weights.shape
        constants = {"weights": self.weights / self.temperature, "bias": self.bias / self.temperature}
        graph = helper.make_graph(
            [
                helper.make_node("Gemm", ["embedding", "weights", "bias"], ["logits"]),
                helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
            ],
            "head",
            [helper.make_tensor_value_info("embedding", real, ["n", width])],
            [helper.make_tensor_value_info("probabilities", real, ["n", classes])],
            [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))


def fit(vectors: NDArray[np.float32], targets: NDArray[np.int64], classes: int) -> Head:
    """Train on all, with the penalty and the temperature that serve best on folds left out in turn.

    vectors: float32[N, width]; targets: class of each, int64[N].
    """
    import numpy as np  # noqa: PLC0415 - only when building

    fold = np.random.default_rng(SEED).integers(FOLDS, size=len(targets))
    tried: list[tuple[float, float, NDArray[np.float64]]] = []
    for penalty in PENALTIES:
        logits = np.empty((len(targets), classes))
        for left_out in range(FOLDS):
            others = fold != left_out
            head = _regression(vectors[others], targets[others], classes, penalty)
            logits[~others] = vectors[~others] @ head.weights + head.bias
        tried.append((_loss(logits, targets), penalty, logits))
    _, penalty, logits = min(tried, key=lambda each: each[0])
    temperature = min(np.geomspace(0.3, 3, 200), key=lambda value: _loss(logits / value, targets))
    head = _regression(vectors, targets, classes, penalty)
    return Head(head.weights, head.bias, float(temperature))


def expected_calibration_error(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """The mean distance of confidence and accuracy over bins of confidence (Guo et al., 2017)."""
    import numpy as np  # noqa: PLC0415 - only when building

    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = (np.bincount(bins, confidence, BINS) - np.bincount(bins, right, BINS)) / len(targets)
    return float(np.abs(gaps).sum())


def _regression(vectors: NDArray[np.float32], targets: NDArray[np.int64], classes: int, penalty: float) -> Head:
    """Minimise the penalised log loss on standardised dimensions by L-BFGS; the head takes them as they are."""
    import numpy as np  # noqa: PLC0415 - only when building
    import torch  # noqa: PLC0415 - heavy

    mean, scale = vectors.mean(axis=0, dtype=np.float64), vectors.std(axis=0, dtype=np.float64) + 1e-9
    inputs = torch.from_numpy(((vectors - mean) / scale).astype(np.float32))
    wanted = torch.from_numpy(targets)
    weights = torch.zeros(vectors.shape[1], classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(inputs @ weights + bias, wanted) + penalty * (weights**2).sum() / 2
        torch.autograd.backward(value)
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    found = weights.detach().numpy().astype(np.float64) / scale[:, None]
    return Head(found, bias.detach().numpy() - mean @ found)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np  # noqa: PLC0415 - only when building

    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _loss(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """The mean negative log probability of the right class."""
    import numpy as np  # noqa: PLC0415 - only when building

    return float(-np.log(_softmax(logits)[np.arange(len(targets)), targets] + 1e-12).mean())
