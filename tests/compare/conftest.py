import json

import pytest
import torch

from unskip.data_info import DataInfo
from unskip.export import export_net
from unskip.nets import make_net
from unskip.recipe import load_recipe
from unskip.run_folder import RunFolder
from unskip.surgery import without_shortcuts
from unskip.weights import save_net

INFO = DataInfo(tuple("0123456789"), (1, 8, 8), (0.3,), (0.4,))


@pytest.fixture(scope="package")
def home(tmp_path_factory):
    """A folder with a run of two small nets on digits, ``run``, and files beside it: ``plain.onnx``, ``fixed.onnx``."""
    folder = tmp_path_factory.mktemp("bench")
    run = RunFolder(folder / "run")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        teacher = make_net("resnet8", {"width": 4, "num_classes": 10, "in_channels": 1}).eval()
        images = torch.randn(4, *INFO.image_shape)
    plain = without_shortcuts(teacher)
    run.recipe.parent.mkdir()
    run.recipe.write_text(load_recipe("demo", ["data.test_limit=100"]).to_yaml())
    run.results.write_text(json.dumps({"best": "ce", "nets": [{"label": "teacher"}, {"label": "ce"}]}))
    for label, net in (("teacher", teacher), ("ce", plain)):
        run.weights(label).parent.mkdir(exist_ok=True)
        save_net(net, run.weights(label), INFO)
    export_net(plain, folder / "plain.onnx", images, metadata=INFO.to_json())
    export_net(teacher, folder / "fixed.onnx", images, metadata=INFO.to_json(), batch_size=2)
    export_net(plain, folder / "inside.onnx", images, metadata=INFO.to_json(), normalization=(INFO.mean, INFO.std))
    return folder
