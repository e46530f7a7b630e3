"""torchvision's and timm's networks that the tests parse, with images as small as they take.

``FAST`` has one of each kind that is parsed differently, ``LONG`` more of them.
"""

FAST: tuple[str, ...] = (
    "torchvision:resnet18",
    "torchvision:regnet_y_400mf",
    "torchvision:mobilenet_v2",
    "torchvision:shufflenet_v2_x0_5",
    "torchvision:squeezenet1_1",
    "timm:seresnet18",
    "timm:resnetv2_18",
    "timm:convnext_atto",
    "timm:ghostnet_050",
    "timm:repvgg_a0",
    "timm:nf_regnet_b0",
    "timm:tf_efficientnet_lite0",
)
LONG: tuple[str, ...] = (
    *(f"torchvision:{name}" for name in ("resnet34", "resnet50", "resnext50_32x4d", "wide_resnet50_2")),
    *(f"torchvision:{name}" for name in ("regnet_x_400mf", "regnet_y_1_6gf", "efficientnet_b0", "efficientnet_v2_s")),
    *(
        f"torchvision:{name}"
        for name in ("mobilenet_v3_small", "mobilenet_v3_large", "mnasnet0_5", "mnasnet1_0", "convnext_tiny")
    ),
    *(f"torchvision:{name}" for name in ("densenet121", "vgg11_bn", "alexnet", "squeezenet1_0", "shufflenet_v2_x1_0")),
    *(
        f"timm:{name}"
        for name in ("resnet18d", "resnet26", "resnet50", "resnet26d", "resnet26t", "resnet50_gn", "resnext26ts")
    ),
    *(
        f"timm:{name}"
        for name in ("seresnet50", "seresnext26d_32x4d", "ecaresnet26t", "eca_resnet33ts", "legacy_seresnet18")
    ),
    *(
        f"timm:{name}"
        for name in ("skresnet18", "resnest14d", "resnetblur18", "resnetblur50", "resnetaa34d", "tresnet_m")
    ),
    *(f"timm:{name}" for name in ("resnetv2_34", "resnetv2_50", "resnetv2_50x1_bit", "res2net50_14w_8s", "res2next50")),
    *(f"timm:{name}" for name in ("nf_resnet26", "nf_resnet50", "nfnet_l0", "dm_nfnet_f0", "eca_nfnet_l0")),
    *(
        f"timm:{name}"
        for name in ("regnetx_002", "regnety_002", "regnetz_b16", "regnetv_040", "gernet_s", "darknet17", "darknet53")
    ),
    *(f"timm:{name}" for name in ("cspresnet50", "cspdarknet53", "vovnet39a", "ese_vovnet19b_dw", "dla34", "dpn68")),
    *(
        f"timm:{name}"
        for name in ("mobilenetv2_100", "mobilenetv3_small_100", "mobilenetv4_conv_small", "mobileone_s0")
    ),
    *(f"timm:{name}" for name in ("efficientnet_b0", "efficientnetv2_rw_t", "tinynet_e", "lcnet_050", "mnasnet_100")),
    *(f"timm:{name}" for name in ("fbnetc_100", "hardcorenas_a", "mixnet_s", "spnasnet_100", "rexnet_100")),
    *(f"timm:{name}" for name in ("ghostnet_100", "repvgg_b0", "repghostnet_050", "xception41", "hrnet_w18_small")),
    *(
        f"timm:{name}"
        for name in ("convnextv2_atto", "convnext_tiny", "fasternet_t0", "starnet_s1", "edgenext_xx_small")
    ),
    *(f"timm:{name}" for name in ("selecsls42", "vgg11_bn", "densenet121", "inception_resnet_v2", "inception_v4")),
)
# Images as small as the network takes, where 64 pixels are too few.
SIDES = {
    "timm:inception_resnet_v2": 96,
    "timm:inception_v4": 96,
    "timm:xception41": 96,
    "torchvision:alexnet": 96,
    "timm:dm_nfnet_f0": 96,
}
REFUSED = {
    "timm:vit_tiny_patch16_224": "has no stages",
    "timm:mixer_s32_224": "has no stages",
    "torchvision:googlenet": "does something else in training .*, aux_logits=false",
    "torchvision:inception_v3": "does something else in training .*, aux_logits=false",
}
