"""Write GoEmotions as the examples read it: comments with exactly one emotion, neutral ones left out.

    python examples/goemotions_csv.py [DIRECTORY]

DIRECTORY (default data/goemotions) receives train.csv, valid.csv and test.csv (text, label), and label2idx.txt.
The data come from the hub, google-research-datasets/go_emotions, configuration "simplified" (Apache-2.0).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FILES = {"train": "train.csv", "validation": "valid.csv", "test": "test.csv"}


def write_goemotions(splits: Mapping[str, Any], directory: Path) -> None:
    """Write the files.

    Args:
        splits: `datasets.Dataset` by split, each with `text` and `labels`, a list of class indices.
        directory: made where it is missing.
    """
    names: Sequence[str] = splits["train"].features["labels"].feature.names
    emotions = [name for name in names if name != "neutral"]
    directory.mkdir(parents=True, exist_ok=True)
    for split, name in FILES.items():
        with (directory / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            for row in splits[split]:
                emotion = names[row["labels"][0]]
                if len(row["labels"]) == 1 and emotion != "neutral":
                    writer.writerow([row["text"], emotions.index(emotion)])
    lines = [f"{name} {index}\n" for index, name in enumerate(emotions)]
    (directory / "label2idx.txt").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    from datasets import load_dataset

    target = Path(sys.argv[1] if len(sys.argv) > 1 else "data/goemotions")
    write_goemotions(load_dataset("google-research-datasets/go_emotions", "simplified"), target)
    print(f"wrote {target}")
