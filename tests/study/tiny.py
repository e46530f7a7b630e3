"""A study of four cells a seed: two nets by two methods."""

TINY = {
    "title": "Two nets, two methods",
    "set": {
        "data.name": "digits",
        "data.limit": 40,
        "data.test_limit": 40,
        "training.epochs": 1,
        "training.batch_size": 20,
        "measure.latency": False,
        "teacher.accept_weak": True,
    },
    "grids": [
        {
            "axes": {
                "net": {"8": {"teacher.net": "resnet8"}, "14": {"teacher.net": "resnet14"}},
                "method": {"kd": {"methods": {"kd": {}}}, "align_kd": {"methods": {"align_kd": {}}}},
            },
            "rows": [
                {"row": "{method}", "column": "ResNet-{net}", "net": "{method}"},
                {"row": "teacher", "column": "ResNet-{net}", "net": "teacher"},
            ],
        }
    ],
    "derived": {"gain": {"best": "*kd", "minus": "teacher"}},
    "counted": {"losses": {"row": "gain", "below": 0}},
    "conclusions": [{"better": "align_kd", "than": "kd", "statement": "alignment helps"}],
}
