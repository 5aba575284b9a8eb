"""LLMEmbed's published head against co-occurrence and the default fusion here, over the same embeddings.

    python benchmarks/llmembed_head.py DIRECTORY [--seeds 5] [--epochs 50] [--cache DIR] [--set train.epochs=10]

DIRECTORY holds train, validation and test files of labelled texts. The sources are three readings of one small
model, not Llama-2-7b, BERT-large and RoBERTa-large: the last five layers of all-MiniLM-L6-v2 averaged over tokens,
its [CLS] and its last token. Every number is about the heads over these, none about those models.

The head is written from the description (Liu et al., ACL 2024) and what is known of its code, faults included:
raw products X X^T, which can saturate 2 sigmoid(sigma P) - 1, and a softmax before the cross-entropy, which takes
one of its own. Two more variants leave out the softmax, and normalise X as well. Learning rate, dropout and epochs
are not published: the rate and the epoch are chosen here on validation, dropout is .3. Of
the two rates only the one that validation prefers is scored on test.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import attrs
import numpy as np
import torch
from labelled import Texts, embed, read_directory, write_rows
from result_file import save_result
from torch import Tensor, nn

import fusionapp
from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.torch_shared.device import resolve_device
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.domain.cooccurrence import saturation
from fusionapp.domain.metrics import accuracy, weighted_f1
from fusionapp.entrypoints.experiment.load import load_experiment

SOURCES: Mapping[str, Mapping[str, Any]] = {
    "layers": {"layers": (-5, -4, -3, -2, -1), "pooling": "mean"},
    "cls": {"pooling": "cls"},
    "last": {"pooling": "last"},
}
DROPOUT, BATCH = 0.3, 256
RATES = (1e-4, 1e-3)


@attrs.frozen
class Variant:
    """What of the published head is kept.

    Attributes:
        name: as it is printed.
        softmax: a softmax before the cross-entropy.
        normalize: views of length 1 before their products.
    """

    name: str
    softmax: bool
    normalize: bool


VARIANTS = (
    Variant("LLMEmbed's head as published", softmax=True, normalize=False),
    Variant("LLMEmbed's head without its softmax", softmax=False, normalize=False),
    Variant("LLMEmbed's head without its softmax, views normalised", softmax=False, normalize=True),
)


class PublishedHead(nn.Module):
    """Layers compressed one by one, products of all views, beside the mean of the layers.

    Attributes:
        cells: the power-normalised products of the last batch, (batch, views * views).
    """

    cells: Tensor

    def __init__(
        self, layers: int, dim: int, others: int, width: int, classes: int, variant: Variant
    ) -> None:
        super().__init__()
        self.variant = variant
        self.compress = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Dropout(DROPOUT)) for _ in range(layers)
        )
        views = layers + others
        self.classify = nn.Sequential(
            nn.Linear(views * views + dim, 1024),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(1024, 256),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(256, classes),
        )

    def forward(self, layers: Tensor, others: Tensor) -> Tensor:
        """(batch, layers, dim) and (batch, others, width) -> (batch, classes)."""
        compressed = [compress(layers[:, i]) for i, compress in enumerate(self.compress)]
        views = torch.cat([torch.stack(compressed, dim=1), others], dim=1)
        if self.variant.normalize:
            views = nn.functional.normalize(views, dim=-1)
        products = (views @ views.transpose(1, 2)).flatten(1)
        self.cells = 2 * torch.sigmoid(products) - 1  # sigma = 1, as published
        logits: Tensor = self.classify(torch.cat([self.cells, layers.mean(1)], dim=1))
        return logits.softmax(-1) if self.variant.softmax else logits


@attrs.frozen(eq=False)
class Split:
    """A split on the device: (rows, 5, dim), (rows, 2, dim) and labels."""

    layers: Tensor
    others: Tensor
    labels: Tensor

    @classmethod
    def of(cls, embedded: LabelledEmbeddings, device: torch.device) -> Split:
        tensors = [torch.tensor(np.asarray(source), device=device) for source in embedded.sources.values()]
        return cls(tensors[0], torch.cat(tensors[1:], dim=1), torch.tensor(embedded.labels, device=device))


@attrs.frozen(eq=False)
class Trained:
    """The best epoch of one seed.

    Attributes:
        head: with that epoch's weights.
        validation: accuracy that the epoch was chosen by.
        saturated: share of cells beyond 0.99 at that epoch, over validation.
    """

    head: PublishedHead
    validation: float
    saturated: float


def train_published(
    variant: Variant, train: Split, validation: Split, classes: int, rate: float, epochs: int, seed: int
) -> Trained:
    """Train a seed and keep its best epoch by validation."""
    torch.manual_seed(seed)
    shape = train.layers.shape
    head = PublishedHead(shape[1], shape[2], train.others.shape[1], train.others.shape[2], classes, variant)
    head.to(train.labels.device)
    optimizer = torch.optim.Adam(head.parameters(), rate, fused=True)
    best, saturated, state = -1.0, 0.0, {}
    for _ in range(epochs):
        head.train()
        for rows in torch.split(torch.randperm(len(train.labels)).to(train.labels.device), BATCH):
            loss = nn.functional.cross_entropy(
                head(train.layers[rows], train.others[rows]), train.labels[rows]
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        reached = float((_predict(head, validation) == validation.labels).float().mean())
        if reached > best:
            best, saturated = reached, saturation(head.cells)
            state = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    head.load_state_dict(state)
    return Trained(head, best, saturated)


@torch.no_grad()
def _predict(head: PublishedHead, split: Split) -> Tensor:
    head.eval()
    logits: Tensor = head(split.layers, split.others)
    return logits.argmax(-1)


def published(
    embedded: Mapping[str, LabelledEmbeddings], classes: int, seeds: int, epochs: int, device: torch.device
) -> list[dict[str, Any]]:
    """Each variant at the learning rate that validation chose; test is predicted at that rate alone."""
    train, validation, test = (Split.of(embedded[name], device) for name in ("train", "validation", "test"))
    labels = embedded["test"].labels
    found = []
    for variant in VARIANTS:
        start = perf_counter()
        by_rate = {
            rate: [
                train_published(variant, train, validation, classes, rate, epochs, seed)
                for seed in range(seeds)
            ]
            for rate in RATES
        }
        rate = max(RATES, key=lambda rate: mean(one.validation for one in by_rate[rate]))
        runs, seconds = by_rate[rate], (perf_counter() - start) / len(RATES)
        predicted = [_predict(one.head, test).cpu().numpy() for one in runs]
        found.append(
            {
                "head": variant.name,
                "learning_rate": rate,
                "validation_accuracy": mean(one.validation for one in runs),
                **_spread("accuracy", [accuracy(labels, each) for each in predicted]),
                **_spread("weighted_f1", [weighted_f1(labels, each) for each in predicted]),
                "saturated": mean(one.saturated for one in runs),
                "seconds": seconds,
            }
        )
        print(found[-1], flush=True)
    return found


def _spread(name: str, values: Sequence[float]) -> dict[str, float]:
    return {name: mean(values), f"{name}_sd": stdev(values) if len(values) > 1 else 0.0}


def ours(texts: Mapping[str, Texts], cache: Path, seeds: int, sets: Sequence[str]) -> list[dict[str, Any]]:
    """Co-occurrence and the default fusion, as an experiment trains them."""
    found = []
    with TemporaryDirectory() as folder:
        files = {split: write_rows(rows, Path(folder) / f"{split}.jsonl") for split, rows in texts.items()}
        for name, fusion in (("cooccurrence", {"kind": "cooccurrence"}), ("default", {})):
            experiment = load_experiment(
                {
                    "name": name,
                    "dataset": files,
                    "encoders": {
                        source: {"model": "minilm", "normalize": False, **settings}
                        for source, settings in SOURCES.items()
                    },
                    "storage": {"root": str(cache)},
                    "fusion": fusion,
                    "train": {"seeds": seeds},
                    "evaluate": {"baselines": False},
                },
                sets,
            )
            training = fusionapp.train(experiment, runs=folder)
            evaluation = fusionapp.evaluate(experiment, runs=folder)
            result = evaluation.result
            found.append(
                {
                    "head": f"fusionapp, {name}",
                    "validation_accuracy": mean(head.validation["accuracy"] for head in training.heads),
                    "accuracy": result["accuracy"].mean,
                    "accuracy_sd": result["accuracy"].sd,
                    "weighted_f1": result["weighted_f1"].mean,
                    "weighted_f1_sd": result["weighted_f1"].sd,
                    "ensemble_accuracy": evaluation.ensemble["accuracy"].mean,
                    "seconds": training.seconds,
                }
            )
            print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=50, help="most epochs of the published head")
    parser.add_argument("--cache", type=Path, default=Path("embeddings"))
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of our experiments"
    )
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    texts, classes = read_directory(arguments.directory)
    by_name = {
        name: HuggingFaceEncoder("minilm", normalize=False, **settings) for name, settings in SOURCES.items()
    }
    cache = arguments.cache.resolve()
    embedded = {split: embed(rows, by_name, cache / "benchmarks") for split, rows in texts.items()}
    device = resolve_device("auto")
    results = published(embedded, len(classes), arguments.seeds, arguments.epochs, device)
    results += ours(texts, cache, arguments.seeds, arguments.set)
    settings = {
        "data": arguments.directory.name,
        "classes": len(classes),
        "rows": {split: len(rows.texts) for split, rows in texts.items()},
        "sources": "all-MiniLM-L6-v2: mean of the last five layers, [CLS], last token",
        "seeds": arguments.seeds,
        "epochs": arguments.epochs,
        "dropout": DROPOUT,
        "batch_size": BATCH,
        "set": arguments.set,
    }
    name = f"llmembed_head_{arguments.directory.name}"
    print(save_result(name, settings, results, output=arguments.output))


if __name__ == "__main__":
    main()
