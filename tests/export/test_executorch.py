"""The memory that ExecuTorch plans."""

import pytest

from unskip.errors import UnskipError
from unskip.export import arena_of_file, export_net, planned_arena
from unskip.nets import make_net
from unskip.surgery import without_shortcuts


@pytest.fixture(scope="module")
def net():
    return make_net("resnet8", {"width": 4, "in_channels": 1})


def test_the_plan_is_that_of_the_portable_file(net, images, tmp_path):
    path = export_net(net, tmp_path / "net.pte", images[:2], backend="portable").path
    assert arena_of_file(path) == planned_arena(net, (1, 16, 16))


def test_the_plan_holds_the_shortcut(net):
    plain, batch = planned_arena(without_shortcuts(net), (1, 16, 16)), planned_arena(net, (1, 16, 16), batch_size=2)
    assert planned_arena(net, (1, 16, 16)) == 3 * plain // 2 == 3 * 4 * 4 * 16 * 16
    assert batch == 3 * plain


def test_a_file_for_xnnpack_has_no_plan_of_the_feature_maps(net, images, tmp_path):
    assert arena_of_file(export_net(net, tmp_path / "net.pte", images[:2]).path) is None


@pytest.mark.parametrize("content", [b"", b"junk" * 99])
def test_a_damaged_file_is_refused(content, tmp_path):
    (tmp_path / "net.pte").write_bytes(content)
    with pytest.raises(UnskipError, match=r"net\.pte is no ExecuTorch file that can be read"):
        arena_of_file(tmp_path / "net.pte")
    with pytest.raises(UnskipError, match=r"no file .*other\.pte"):
        arena_of_file(tmp_path / "other.pte")
