"""What stands beside the graph of a text classifier: how to feed it, and a program that does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import attrs

CARD, README = "fusionapp_classifier.json", "README.md"

_FORMAT, _VERSION = "fusionapp-text-classifier", 1


@attrs.frozen
class Tokenization:
    """How texts become one pair of the graph's inputs.

    Attributes:
        input_ids: name of the input of token ids, (rows, tokens) int64, padded on the right.
        attention_mask: name of the input that is 1 where a token is real, int64 of the same shape.
        tokenizer: file of the `tokenizers` library; lower-casing, truncation and padding are set in it.
        prefix: what is put before each text.
        max_length: most tokens, prefix and special tokens included; what is beyond is cut.
        encoders: names of the encoders that read it.
    """

    input_ids: str
    attention_mask: str
    tokenizer: str
    prefix: str
    max_length: int
    encoders: list[str]


def card_of(classes: Sequence[str], inputs: Sequence[Tokenization], **more: Any) -> bytes:
    """The card as a JSON file."""
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "producer": f"fusionapp {version('fusionapp')}",
        "classes": list(classes),
        "inputs": [attrs.asdict(one) for one in inputs],
        **more,
    }
    return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"


def readme_of(encoders: Sequence[str], classes: int, texts: int, difference: float) -> bytes:
    """A page on the directory, with the whole program that uses it."""
    return _README.format(
        encoders=", ".join(encoders), classes=classes, texts=texts, difference=f"{difference:.1g}", card=CARD
    ).encode()


_README = """\
# A text classifier

`model.onnx` holds the encoders ({encoders}) and the heads of a classifier of {classes} classes: tokens in,
probabilities out. It needs onnxruntime, tokenizers and numpy; save this beside it as `classify.py`:

```python
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

here, texts = Path(__file__).parent, sys.argv[1:]
card = json.loads((here / "{card}").read_text(encoding="utf-8"))
feed = {{}}
for one in card["inputs"]:
    tokenizer = Tokenizer.from_file(str(here / one["tokenizer"]))  # cuts and pads, too
    rows = tokenizer.encode_batch([one["prefix"] + text for text in texts])
    feed[one["input_ids"]] = np.array([row.ids for row in rows])
    feed[one["attention_mask"]] = np.array([row.attention_mask for row in rows])
(probabilities,) = onnxruntime.InferenceSession(str(here / "model.onnx")).run([card["output"]], feed)
for text, row in zip(texts, probabilities):
    print(card["classes"][row.argmax()], f"{{row.max():.4f}}", text, sep="\\t")
```

    python classify.py "What a sad day it was" "Thank you, that was good"

`{card}` says the rest: for each pair of inputs the tokenizer's file, the prefix that goes before a text and the
most tokens; the classes in the order of the columns; the encoders, with their layers and pooling, which are done
in the graph; and the SHA-256 of every file. On {texts} texts of one token to more than the encoders take, the
probabilities were within {difference} of those of `fusionapp predict` with its encoders in float32.
"""
