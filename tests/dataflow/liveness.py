"""Live memory by running a network on real tensors: slow, and independent of the forecast."""

import torch
from torch import fx, nn
from torch.nn.modules.activation import ReLU, ReLU6, SiLU

ELEMENTWISE_MODULES = (ReLU, ReLU6, SiLU, nn.BatchNorm2d)
ELEMENTWISE_FUNCTIONS = ("add", "mul")


class LiveRun(fx.Interpreter):
    """Runs a network without in-place layers, drops values after their last use, and adds up the storages left.

    With ``inplace``, element-wise results are really written over an operand that is dropped after this operation, so a
    wrong decision would show in the output.
    """

    def __init__(self, net: nn.Module, *, inplace: bool) -> None:
        for module in net.modules():
            if hasattr(module, "inplace"):
                module.inplace = False
        super().__init__(fx.GraphModule(net, fx.Tracer().trace(net)))
        self.inplace = inplace
        self.live: list[int] = []

    def run_node(self, node):
        result = super().run_node(node)
        if node.op in ("placeholder", "output", "get_attr"):
            return result
        held = [*self.env.values()]
        if result.untyped_storage().data_ptr() in {value.untyped_storage().data_ptr() for value in held}:
            return result
        if self.inplace and self._is_elementwise(node):
            result = self._over_an_operand(node, result)
        storages = {value.untyped_storage().data_ptr(): value.untyped_storage() for value in [*held, result]}
        self.live.append(sum(storage.nbytes() for storage in storages.values()))
        return result

    def _is_elementwise(self, node):
        if node.op == "call_module":
            return isinstance(self.module.get_submodule(node.target), ELEMENTWISE_MODULES)
        return node.target.__name__ in ELEMENTWISE_FUNCTIONS

    def _over_an_operand(self, node, result):
        dropped = self.user_to_last_uses.get(node, [])
        for operand in node.all_input_nodes:
            value = self.env[operand]
            pointer = value.untyped_storage().data_ptr()
            shared = any(
                other.untyped_storage().data_ptr() == pointer for key, other in self.env.items() if key not in dropped
            )
            if operand in dropped and not shared and value.untyped_storage().nbytes() == 4 * result.numel():
                return value.view(result.shape).copy_(result)
        return result


def live_bytes(net: nn.Module, images: torch.Tensor, *, inplace: bool) -> tuple[list[int], torch.Tensor]:
    """Live bytes at every operation of a network in eval mode, and its output."""
    run = LiveRun(net.eval(), inplace=inplace)
    with torch.inference_mode():
        output = run.run(images.clone())
    return run.live, output
