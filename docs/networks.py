"""Write reference/networks.md, what becomes of other packages' networks, in minutes: `python docs/networks.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from unskip import UnskipError, make_net
from unskip.analyses import Network
from unskip.analyses.memory import Memory
from unskip.analyses.shortcuts import Shortcuts
from unskip.nets import find_net, kept_branches

HERE = Path(__file__).resolve().parent
NOTE = "<!-- Written by docs/networks.py. Change the code it is made from, then run it again. -->"

TORCHVISION = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "regnet_y_1_6gf",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "mnasnet1_0",
    "efficientnet_b0",
    "efficientnet_b3",
    "efficientnet_v2_s",
    "convnext_tiny",
    "densenet121",
    "shufflenet_v2_x1_0",
    "squeezenet1_1",
    "vgg11_bn",
    "vgg16",
    "alexnet",
    "googlenet",
    "inception_v3",
    "swin_t",
    "maxvit_t",
    "vit_b_16",
)
TIMM = (
    "resnet26d",
    "resnet50d",
    "resnetaa50",
    "seresnet18",
    "seresnet50",
    "ecaresnet26t",
    "skresnet18",
    "resnest14d",
    "res2net50_26w_4s",
    "gcresnet33ts",
    "legacy_seresnet18",
    "tresnet_m",
    "gernet_s",
    "regnetx_004",
    "regnety_004",
    "regnetz_b16",
    "resnetv2_50",
    "resnetv2_50d_gn",
    "nf_resnet50",
    "nfnet_l0",
    "darknet53",
    "cspdarknet53",
    "cspresnet50",
    "dla34",
    "dpn68",
    "densenet121",
    "hrnet_w18_small",
    "xception41",
    "inception_v4",
    "inception_resnet_v2",
    "inception_next_tiny",
    "vovnet39a",
    "ese_vovnet19b_dw",
    "selecsls42b",
    "hgnet_tiny",
    "repvgg_a0",
    "mobileone_s0",
    "repghostnet_050",
    "ghostnet_100",
    "ghostnetv2_100",
    "mobilenetv3_small_100",
    "mobilenetv4_conv_small",
    "efficientnet_lite0",
    "efficientnetv2_rw_t",
    "mixnet_s",
    "tinynet_a",
    "fbnetc_100",
    "rexnet_100",
    "hardcorenas_a",
    "lcnet_050",
    "mnasnet_small",
    "semnasnet_075",
    "convnext_atto",
    "convnextv2_atto",
    "edgenext_xx_small",
    "fastvit_t8",
    "starnet_s1",
    "poolformer_s12",
    "mambaout_femto",
    "rdnet_tiny",
    "botnet26t_256",
    "halonet26t",
    "coatnet_0_rw_224",
    "levit_128s",
    "efficientvit_b0",
    "pvt_v2_b0",
    "deit_tiny_patch16_224",
)


def sources() -> list[str]:
    """The networks of the page."""
    return [*(f"torchvision:{name}" for name in TORCHVISION), *(f"timm:{name}" for name in TIMM)]


def row(source: str) -> str:
    """A network's line of the table."""
    try:
        net = make_net(source)
    except UnskipError as error:
        return f"| `{source}` | | refused: {str(error).removeprefix(f'{source}: ')} | | | | |"
    side = find_net(source).image_size
    network = Network(net, (3, side, side))
    inventory, memory = network.analysis(Shortcuts).inventory, network.analysis(Memory)
    kinds = Counter(shortcut.kind for shortcut in inventory)
    kept = Counter(kept_branches(net).values())
    with_, without = memory.timeline.peak_bytes, memory.plain_timeline.peak_bytes
    peaks = f"{with_ / 2**20:.2f} | "
    if inventory:
        peaks += f"{without / 2**20:.2f} | {with_ / without:.2f}x"
    else:
        peaks += "|"
    return (
        f"| `{source}` | {side} | {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items())) or 'none'} | "
        f"{'; '.join(f'{count} x {reason}' for reason, count in kept.items())} | {peaks} |"
    )


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield NOTE
    yield ""
    yield "# Networks of other packages"
    yield ""
    yield (
        "What [parsing](../explanation/any-network.md) finds in networks of torchvision and timm: the shortcuts "
        "that can be removed, the branches that stay, and the forecast peak of live feature maps in MiB, with and "
        "without shortcuts, as in `unskip inspect NET`. Every network that is not refused gives the same logits before "
        "and after parsing, bit by bit, in eval mode and in train mode."
    )
    yield ""
    yield "| network | image | shortcuts | branches that stay | peak with | without | ratio |"
    yield "|---|---|---|---|---|---|---|"
    for source in sources():
        line = row(source)
        print(line, flush=True)
        yield line


if __name__ == "__main__":
    text = page()
    (HERE / "reference" / "networks.md").write_text(text)
