"""Adapters on disk."""

from pathlib import Path

import pytest
import torch

from transpose.errors import TransposeError
from transpose.models.adapter import Adapter, AdapterConfig
from transpose.models.adapter_file import load_adapter, save_adapter

CARD = {"trained_on": ["village 0", "village 1"], "match_rate": 0.4}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    adapter = Adapter(AdapterConfig(width=32))
    torch.nn.init.normal_(adapter.last.weight)
    adapter.fit_statistics(torch.randn(50, 256))
    save_adapter(tmp_path / "folder" / "adapter.pt", adapter, CARD)
    return tmp_path / "folder" / "adapter.pt"


def changed(file: Path, **fields: object) -> Path:
    content = torch.load(file, weights_only=True)
    torch.save({**content, **fields}, file)
    return file


def test_it_comes_back(file: Path) -> None:
    adapter, card = load_adapter(file)
    features = torch.randn(20, 256, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    same = Adapter(AdapterConfig(width=32))
    torch.nn.init.normal_(same.last.weight)
    same.fit_statistics(torch.randn(50, 256))
    torch.testing.assert_close(adapter(features), same(features), atol=1e-3, rtol=1e-2)
    assert card == CARD and adapter.config.width == 32 and not any(w.requires_grad for w in adapter.parameters())


def test_of_the_default_size_it_is_small(tmp_path: Path) -> None:
    save_adapter(tmp_path / "a.pt", Adapter(AdapterConfig()), CARD)
    assert (tmp_path / "a.pt").stat().st_size < 2_000_000


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"encoder": "dsacstar"}, "features of 'dsacstar'"),
        ({"config": {"channels": 512, "descriptor_channels": 64, "width": 32}}, "does not fit"),
        ({"config": {"depth": 3}}, "does not fit"),
        ({"config": {"channels": 32, "descriptor_channels": 64, "width": 32}}, "does not fit"),
        ({"weights": {}}, "does not fit"),
        ({"weights": {"first.weight": 3}}, "does not fit"),
        ({"format": 2}, "newer version"),
        ({"more": 1}, "is no adapter"),
    ],
)
def test_another_file_is_refused(file: Path, fields: dict[str, object], says: str) -> None:
    with pytest.raises(TransposeError, match=says):
        load_adapter(changed(file, **fields))


def test_one_of_other_sizes_is_refused(tmp_path: Path) -> None:
    save_adapter(tmp_path / "a.pt", Adapter(AdapterConfig(channels=128, width=32)), CARD)
    with pytest.raises(TransposeError, match="adapts 128 features"):
        load_adapter(tmp_path / "a.pt")


def test_what_is_no_number_is_refused(file: Path) -> None:
    weights = torch.load(file, weights_only=True)["weights"]
    weights["last.bias"][3] = torch.nan
    with pytest.raises(TransposeError, match="no numbers"):
        load_adapter(changed(file, weights=weights))


def test_broken_files_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(TransposeError, match="there is no adapter"):
        load_adapter(tmp_path / "nothing.pt")
    for content in (b"", b"no pickle", file.read_bytes()[:-500]):
        file.write_bytes(content)
        with pytest.raises(TransposeError, match="do not load"):
            load_adapter(file)
    torch.save([1], file)
    with pytest.raises(TransposeError, match="no dictionary"):
        load_adapter(file)
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(TransposeError, match="LFS"):
        load_adapter(file)
