"""Runs and comparisons as another part of the toolkit would record them, without training or measuring anything."""

from __future__ import annotations

import math
from typing import Any

from unskip.measures import measures
from unskip.records import (
    Answer,
    Answers,
    Cell,
    ClassAnswers,
    Comparison,
    Conclusion,
    Confusion,
    Counted,
    Data,
    Derived,
    Disagreement,
    Entry,
    Epoch,
    Estimate,
    Figure,
    Group,
    Layer,
    Load,
    Net,
    Operation,
    PastRun,
    PastRuns,
    Proof,
    Run,
    Rung,
    Shrink,
    Speedup,
    Study,
    StudyCell,
    Subject,
    Teacher,
    Timeline,
    Traffic,
    Training,
    Trial,
    WayOut,
    Winner,
)

TERMS = {"ce": ("ce",), "kd": ("ce", "kl"), "align_kd": ("ce", "kl", "feature")}
SCORES = {"teacher": 0.934, "ce": 0.612, "kd": 0.783, "align_kd": 0.910, "joint_rd": 0.874, "stagewise_kd": 0.861}
LONG = "align_kd with feature_weight 0.01 and a very long name"
HOSTILE = "<script>alert('$x_')</script>&\"'\x07"
REASON = "ExecuTorch is not installed: pip install 'unskip[executorch]'"
POLICY = "float32, batch 1, BatchNorm folded, element-wise operations in place"


def curve(epochs: int, final: float, terms: tuple[str, ...] = ("ce", "kl", "feature")) -> tuple[Epoch, ...]:
    """Epochs of a training that ends at the score ``final``."""
    history = []
    for epoch in range(1, epochs + 1):
        share = epoch / epochs
        score = final * (1 - 0.6 * math.exp(-4 * share) + 0.02 * math.sin(epoch * 7.3) * (1 - share))
        values = {term: 2.2 / (i * 3 + 1) * math.exp(-2.4 * share) + 0.02 for i, term in enumerate(terms)}
        seconds = 6.4 * epoch * (1 + 0.2 * len(terms))
        score = final if epoch == epochs else score
        history.append(Epoch(epoch=epoch, seconds=seconds, loss=sum(values.values()), terms=values, score=score))
    return tuple(history)


def timeline(shortcuts: bool, blocks: int = 5, stem: int = 1) -> Timeline:
    """Live bytes of a three-stage net for 32 px images; ``stem`` multiplies what the stem holds."""
    operations = [("stem.conv", stem * (3 + 16) * 1024 * 4)]
    for stage in (1, 2, 3):
        size = 16 * 1024 * 4 >> (stage - 1)
        for block in range(1, blocks + 1):
            before = 2 * size if stage > 1 and block == 1 else size
            held = before if shortcuts else 0
            body = ".body" if shortcuts else ""
            operations.append((f"stage{stage}.block{block}{body}.conv1", before + size))
            operations.append((f"stage{stage}.block{block}{body}.conv2", 2 * size + held))
            if shortcuts:
                operations.append((f"stage{stage}.block{block}.add", size + held))
    operations += [("head.pool", 16 * 1024 + 256), ("head.linear", 256 + 40)]
    name, peak = max(operations, key=lambda pair: pair[1])
    steps = tuple(Operation(name=name, live_bytes=live) for name, live in operations)
    return Timeline(operations=steps, peak_bytes=peak, peak_at=name, policy=POLICY)


def subject(label: str, shortcuts: int, score: float | None = None, stem: int = 1, **other: Any) -> Subject:
    """A net of 32 layers; with shortcuts it is larger."""
    memory = timeline(shortcuts > 0, stem=stem)
    figures = {
        "peak": Figure(value=memory.peak_bytes),
        "parameters": Figure(value=464_154 if shortcuts else 461_882),
        "macs": Figure(value=69_124_480 if shortcuts else 68_862_336),
    }
    if score is not None:
        figures["top1"] = Figure(value=score)
        figures["top5"] = Figure(value=min(1.0, score + 0.06))
    net = "resnet32" if shortcuts else "resnet32 without shortcuts"
    standard = {
        "label": label,
        "kind": "net",
        "net": net,
        "source": "resnet32",
        "shortcuts": shortcuts,
        "input_shape": (3, 32, 32),
    }
    return Subject(**{**standard, "memory": memory, "figures": figures, **other})


def latency(median: float) -> Figure:
    return Figure(value=median, low=median - 0.1, high=median + 0.2, samples=(median - 0.1, median, median + 0.2))


def cell(label: str, ms: float, speedup: tuple[float, float, float] | None = None, **figures: Figure | None) -> Cell:
    """A file's figures; ``speedup`` is low, median and high."""
    standard = {
        "latency": latency(ms),
        "throughput": Figure(value=1e3 / ms),
        "file_bytes": Figure(value=1_883_204 if speedup is None else 1_858_551),
        "parity": Figure(value=2.13e-6, allowed=1e-4, images=256),
        "same_answer": Figure(value=1.0, images=256),
    }
    known = {name: figure for name, figure in {**standard, **figures}.items() if figure is not None}
    ratio = speedup and Speedup(low=speedup[0], median=speedup[1], high=speedup[2])
    return Cell(subject=label, file=f"{label}.onnx", sha256="ab" * 32, figures=known, speedup=ratio)


def comparison(subjects: list[Subject], groups: list[Group], **other: Any) -> Comparison:
    standard = {
        "unskip": "0.1.0",
        "started": "2026-03-02T09:14:07+00:00",
        "seconds": 84.2,
        "repeats": 50,
        "processes": 3,
        "load": Load(average=0.1, cores=2),
        "measures": {name: measure.about for name, measure in measures().items()},
        "environment": {"python": "3.11.7", "cores": 2, "cpu": "AMD EPYC 9554"},
    }
    return Comparison(**{**standard, "subjects": subjects, "groups": groups, **other})


def group(cells: list[Cell], **other: Any) -> Group:
    standard = {"runtime": "ONNX Runtime 1.31.1", "threads": 1, "batch_size": 1, "device": "cpu"}
    return Group(**{**standard, "cells": cells, **other})


def changed(record: Any, *place: Any, **values: Any) -> Any:
    """A record with other values at a place: field names, and for tuples of labelled records their labels."""
    if not place:
        return {**record, **values} if isinstance(record, dict) else record.model_copy(update=values)
    key, *rest = place
    if isinstance(record, dict):
        return {**record, key: changed(record[key], *rest, **values)}
    if isinstance(record, tuple):
        names = [getattr(each, "label", None) or getattr(each, "subject", None) for each in record]
        at = key if isinstance(key, int) else names.index(key)
        return (*record[:at], changed(record[at], *rest, **values), *record[at + 1 :])
    return record.model_copy(update={key: changed(getattr(record, key), *rest, **values)})


def run(methods: tuple[str, ...] = ("ce", "kd", "align_kd"), epochs: int = 30, stem: int = 1, **scores: float) -> Run:
    """A run of CIFAR-10 size whose best student is the last of ``methods``; ``scores`` by label."""
    known = SCORES | scores
    labels = ("teacher", *methods)
    subjects = [subject(label, 15 * (label == "teacher"), known.get(label, 0.88), stem) for label in labels]
    cells = [cell("teacher", 1.42), *(cell(label, 1.31, (1.06, 1.08, 1.11)) for label in methods)]
    history = {s.label: curve(epochs, s.figures["top1"].value, TERMS.get(s.label, ("ce", "kl"))) for s in subjects}
    nets = [Net(label="teacher", role="teacher", epochs=epochs, seconds=268.0)]
    nets += [Net(label=label, role="student", method=label, epochs=epochs, seconds=268.0) for label in methods]
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    return Run(
        unskip="0.1.0",
        title="CIFAR-10, resnet32 without shortcuts",
        started="2026-03-02T09:14:07+00:00",
        seconds=1384.2,
        best=methods[-1],
        seed=0,
        data=Data(
            name="cifar10",
            path="data/cifar10",
            num_train=50_000,
            num_test=10_000,
            classes=classes,
            image_shape=(3, 32, 32),
            fingerprint="9f2c41d07ab3e865",
            chance=0.1,
        ),
        nets=tuple(nets),
        history=history,
        comparison=comparison(subjects, [group(cells)]),
        recipe={
            "data": {"name": "cifar10", "path": "data/cifar10", "flip": True},
            "methods": [{"name": method} for method in methods],
            "training": {"epochs": epochs, "batch_size": 128},
        },
    )


def matching() -> Run:
    """A run without labels, whose task has another measure that decides."""
    record = run()
    for each in record.comparison.subjects:
        figures = {name: figure for name, figure in each.figures.items() if name not in ("top1", "top5")}
        figures["agreement"] = each.figures["top1"]
        record = changed(record, "comparison", "subjects", each.label, figures=figures)
    record = changed(record, "data", chance=None, classes=())
    return changed(record, task="matching", metric="agreement")


def without_latency(record: Run) -> Run:
    """The run that measured no latency."""
    for label in record.comparison.groups[0].cells:
        figures = {name: figure for name, figure in label.figures.items() if name not in ("latency", "throughput")}
        place = ("comparison", "groups", 0, "cells", label.subject)
        record = changed(record, *place, figures=figures, speedup=None)
    return record


def diverged(record: Run) -> Run:
    """The run with a loss that left the numbers in the last third of the best student's training."""
    epochs = record.history[record.best]
    lost = 2 * len(epochs) // 3
    nowhere = {"loss": math.nan, "terms": dict.fromkeys(epochs[0].terms, math.inf)}
    ended = (*epochs[:lost], *(epoch.model_copy(update=nowhere) for epoch in epochs[lost:]))
    return changed(record, history={**record.history, record.best: ended})


def one_training() -> Run:
    """A run with a student that keeps its shortcuts, two sub-nets out of its training, and a student without them."""
    subs = {"embedded_kd-full": (0.936, None, 15), "embedded_kd-2-2-2": (0.902, (2, 2, 2), 6)}
    subs["embedded_kd-3-3-3"] = (0.921, (3, 3, 3), 9)
    record = run((*subs, "ce"))
    for label, (score, depth, shortcuts) in subs.items():
        own = subject(label, shortcuts, score, depth=depth)
        if depth:
            figures = own.figures | {
                "parameters": Figure(value=29_000 * shortcuts),
                "macs": Figure(value=4.4e6 * shortcuts),
            }
            own = own.model_copy(update={"figures": figures})
        record = changed(record, "comparison", "subjects", label, **dict(own))
        record = changed(record, "nets", label, method="embedded_kd", training="embedded_kd")
    history = {label: record.history[label] for label in ("teacher", "ce")}
    history["embedded_kd"] = curve(30, 0.936, ("ce", "sub_ce", "kl", "attention"))
    return changed(record, history=history, best="embedded_kd-full")


def hostile() -> Run:
    record = run((HOSTILE,))
    record = changed(record, title=HOSTILE, recipe={HOSTILE: [HOSTILE]})
    record = changed(record, "data", name=HOSTILE, path=HOSTILE, classes=(HOSTILE, "日本語"))
    record = changed(record, "comparison", environment={HOSTILE: HOSTILE})
    record = changed(record, "comparison", "groups", 0, "cells", HOSTILE, file=HOSTILE)
    return changed(record, "comparison", "subjects", HOSTILE, net=HOSTILE)


def runs() -> dict[str, Run]:
    """One run for everything that a page must cope with."""
    standard = run()
    reused = changed(standard, "nets", "teacher", reused=True, seconds=None)
    return {
        "standard": standard,
        "one_method": run(("align_kd",)),
        "no_latency": without_latency(standard),
        "no_memory_gain": run(stem=4),
        "five_students": run(("ce", "kd", "joint_rd", "stagewise_kd", "align_kd")),
        "long_labels": run(("ce", "日本語 kd", LONG)),
        "epochs_200": run(epochs=200),
        "epoch_1": run(epochs=1),
        "negative_gain": run(align_kd=0.55),
        "at_chance": run(align_kd=0.1),
        "reused_teacher": changed(reused, history={k: v for k, v in standard.history.items() if k != "teacher"}),
        "one_training": one_training(),
        "matching": matching(),
        "diverged": diverged(standard),
        "hostile": hostile(),
        "with_answers": changed(standard, answers=answers()),
    }


def past_run(label: str, record: Run | None = None, **facts: Any) -> PastRun:
    """A run folder: that of ``record``, or one that stopped in the third of five epochs of ``kd``."""
    history = record.history if record else {"teacher": curve(5, 0.9, ("ce",)), "kd": curve(5, 0.7, ("ce", "kl"))[:3]}
    known: dict[str, Any] = {
        "label": label,
        "path": f"runs/{label}",
        "title": f"resnet32 in {label}",
        "seed": 0,
        "data": "cifar10 data/cifar10",
        "test_set": "5e" * 32,
        "num_test": 10_000,
        "metric": "top1",
        "trainings": tuple(
            Training(label=name, planned=max(len(epochs), 5), epochs=epochs) for name, epochs in history.items()
        ),
        "results": record,
    }
    return PastRun(**(known | facts))


def past_runs() -> dict[str, PastRuns]:
    """Several runs beside each other: complete, stopped on the way, tested on other images, of another task."""
    about = {name: measure.about for name, measure in measures().items()}
    first, second = past_run("first", run()), past_run("second", run(("kd", LONG), epochs=12))
    sets = {
        "complete": (first, second),
        "stopped": (first, past_run("stopped")),
        "only stopped": (past_run("stopped"),),
        "begun": (past_run("begun", trainings=(Training(label="teacher", planned=5),)),),
        "other images": (first, past_run("other", run(), data="digits", test_set="7d" * 32, num_test=359)),
        "other task": (first, past_run("matching", matching(), metric=matching().metric)),
        "hostile": (past_run(HOSTILE, hostile(), title=HOSTILE, data=HOSTILE), second),
        "many": tuple(past_run(f"run{number}", run(("ce",), epochs=number + 2)) for number in range(7)),
    }
    return {name: PastRuns(unskip="0.1.0", runs=runs, measures=about) for name, runs in sets.items()}


def bench() -> Comparison:
    """Two nets in two settings: faster in the one, no difference in the other."""
    memory = {"peak": Figure(value=196_608), "arena": Figure(value=200_000), "resident": Figure(value=12_000_000)}
    smaller = memory | {"peak": Figure(value=131_072), "arena": Figure(value=131_072)}
    first = cell("residual", 1.42, **memory, top1=Figure(value=0.91, images=10_000))
    faster = cell("plain", 1.31, (1.06, 1.08, 1.11), **smaller, top1=Figure(value=0.88, images=10_000))
    equal = cell("plain", 1.41, (0.97, 1.01, 1.04), **smaller, top1=Figure(value=0.88, images=10_000))
    groups = [group([first, faster]), group([first, equal], threads=2)]
    return comparison([subject("residual", 15, kind="name"), subject("plain", 0, kind="name")], groups)


def estimate(widths: tuple[int, ...], *, aim: str = "speed", dram: int = 4_000_000, **other: Any) -> Estimate:
    """Of layers that take so many cycles: the first waits for DRAM, the second and the third are a cascade."""
    layers = [
        Layer(
            operation="Conv2D",
            cycles=each,
            compute_cycles=each // 2 if place == 0 else each,
            memory_cycles={"sram": each // 4, "dram": each if place == 0 else 0},
            sram_bytes=300_000 - 10_000 * place,
            cascade=7 if place in (1, 2) else None,
        )
        for place, each in enumerate(widths)
    ]
    fused = Layer(operation="Clamp", cycles=0, sram_bytes=0)
    standard = {
        "by": "Vela 5.1.0",
        "target": "ethos-u65-256",
        "setting": {"system_config": "Ethos_U65_High_End", "memory_mode": "Dedicated_Sram_384KB", "optimise": aim},
        "clock_hz": 1e9,
        "cycles": sum(widths),
        "memory_bytes": {"sram": 310_000, "dram": 900_000},
        "sram_limit_bytes": 384 * 1024,
        "traffic": {
            "sram": Traffic(feature_maps_read=500_000, feature_maps_written=400_000, weights_read=90_000),
            "dram": Traffic(feature_maps_read=dram, feature_maps_written=0, weights_read=700_000),
        },
        "operations": len(layers) + 1,
        "layers": (*layers, fused),
    }
    return Estimate(**{**standard, **other})


def estimated(label: str, answer: Estimate) -> Cell:
    """A file's figures on a device."""
    figures = {
        "cycles": answer.cycles and Figure(value=answer.cycles),
        "sram": Figure(value=answer.memory_bytes["sram"], allowed=answer.sram_limit_bytes),
        "dram_traffic": Figure(value=answer.traffic["dram"].feature_maps),
    }
    known = {name: figure for name, figure in figures.items() if figure}
    return Cell(subject=label, file=f"{label}.pte", sha256="cd" * 32, figures=known, estimate=answer)


def on_device(first: Estimate, *others: Estimate | str, aim: str = "speed") -> Group:
    """Estimates for a residual and a plain net in a setting of the U65; a text is why there is none."""
    answers = dict(zip(("residual", "plain", "third"), (first, *others), strict=False))
    cells = [
        Cell(subject=label, refused=answer) if isinstance(answer, str) else estimated(label, answer)
        for label, answer in answers.items()
    ]
    words = f"Ethos_U65_High_End, Dedicated_Sram_384KB, optimised for {aim}"
    meanings = {"Ethos_U65_High_End": "a clock of 1 GHz", f"optimised for {aim}": "what Vela aims at"}
    return group(cells, runtime="Vela 5.1.0", target=f"ethos-u65-256 ({words})", meanings=meanings)


FAST, SLOW = (4_000_000, 1_000_000, 1_000_000, 2_000_000), (9_000_000, 3_000_000, 2_000_000, 2_000_000)


def devices() -> Comparison:
    """Two nets on a device in two settings, beside a runtime: plain is faster in the first, slower in the second."""
    faster = on_device(estimate(SLOW), estimate(FAST, dram=1_000_000))
    slower = on_device(estimate(FAST, aim="size"), estimate(SLOW, aim="size"), aim="size")
    return changed(bench(), groups=(faster, slower, bench().groups[0]))


def benches() -> dict[str, Comparison]:
    """One comparison for everything that a page must cope with."""
    standard = bench()
    refused = Cell(subject="plain", refused="plain.onnx takes batches of 2, not of 1")
    unknown = {"arena": Figure(unknown=REASON), "top1": Figure(unknown="the weights are random")}
    without = changed(standard, "subjects", "plain", net=None, shortcuts=None, memory=None)
    for number in (0, 1):
        cells = [
            cell(label, 1.4, peak=None, parity=None, same_answer=None, **unknown) for label in ("residual", "plain")
        ]
        without = changed(without, "groups", number, cells=tuple(cells))
    alone = changed(standard, subjects=standard.subjects[:1])
    alone = changed(alone, groups=tuple(changed(each, cells=each.cells[:1]) for each in standard.groups))
    first = standard.groups[0].cells[0]
    held = changed(first, figures=first.figures | {"device_memory": Figure(value=50_000_000)})
    cuda = tuple(changed(each, device="cuda", cells=(held, *each.cells[1:])) for each in standard.groups)
    hostile_subject = changed(standard, "subjects", "plain", label=HOSTILE, net=HOSTILE)
    for number in (0, 1):
        hostile_subject = changed(hostile_subject, "groups", number, "cells", "plain", subject=HOSTILE, file=HOSTILE)
    untimed = group([cell(label, 1.4, latency=None, throughput=None) for label in ("residual", "plain")])
    return {
        "standard": standard,
        "refused": changed(standard, "groups", 0, cells=(first, refused)),
        "unknown": without,
        "alone": alone,
        "untimed": changed(standard, groups=(untimed,)),
        "busy": changed(standard, load=Load(average=3.1, cores=2), notes=("The images differ in their shape.",)),
        "cuda": changed(standard, groups=cuda),
        "devices": devices(),
        "only_devices": changed(devices(), groups=devices().groups[:2]),
        "refused_there": changed(devices(), groups=(on_device(estimate(FAST), "2 of 9 operations do not run on it"),)),
        "without_cycles": changed(
            devices(), groups=(on_device(*[estimate((0, 0), cycles=None, traffic={"dram": Traffic()})] * 2),)
        ),
        "alone_there": changed(alone, groups=(on_device(estimate(FAST)),)),
        "hostile": hostile_subject,
    }


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="  # one black pixel
ON_DEVICE = "Ethos-U55-128 (Ethos_U55_High_End_Embedded, Shared_Sram, optimised for performance)"


def on_target(cycles: int, sram: int) -> dict[str, Figure]:
    """What a device's compiler says, beside a teacher of 1.86 million cycles."""
    remark = "estimated by Vela 5.1.0, not measured on a device"
    return {
        "cycles": Figure(value=cycles, remark=remark),
        "cycles_ratio": Figure(value=cycles / 1_860_000),
        "sram": Figure(value=sram),
    }


def trial(label: str, words: str, cycles: int, *scores: float, dropped: str = "", shortcuts: int = 0) -> Trial:
    """A trial with a rung for every score, each of twice as many epochs as the one before."""
    return Trial(
        label=label,
        words=words,
        edits=("without_shortcuts",),
        method="fade_kd",
        input_shape=(3, 32, 32),
        shortcuts=shortcuts,
        figures=on_target(cycles, 44_032),
        rungs=tuple(
            Rung(number=number, epochs=2**number, seconds=60.0 * 2**number, score=score)
            for number, score in enumerate(scores, start=1)
        ),
        dropped=dropped,
    )


def answers(num_classes: int = 10) -> Answers:
    """Teacher and winner with 1,000 images of every class, the last class the one that lost most."""
    names = run().data.classes if num_classes == 10 else tuple(f"class {number}" for number in range(num_classes))
    last = num_classes - 1
    return Answers(
        images=1000 * num_classes,
        differing=640,
        classes=[
            ClassAnswers(name=name, images=1000, teacher=930 + number % 9, winner=925 - 30 * (number == last))
            for number, name in enumerate(names)
        ],
        confusions=[
            Confusion(true=last, answered=0, teacher=11, winner=39),
            Confusion(true=0, answered=last, teacher=20, winner=9),
        ],
        disagreements=[
            Disagreement(
                index=17 * place,
                true=place % num_classes,
                teacher=Answer(answered=place % num_classes, probability=0.99 - place / 100),
                winner=Answer(answered=(place + 1) % num_classes, probability=0.97 - place / 100),
                distance=0.98 - place / 100,
                png=PNG,
            )
            for place in range(12)
        ],
    )


def shrink(**other: Any) -> Shrink:
    """A network for CIFAR-10 that is brought to seven tenths of its cycles on a device."""
    known = {name: measure.about for name, measure in measures().items() if name in ("top1", "cycles", "sram")}
    ratio = {"title": "Cycles ratio", "unit": "", "definition": "the student's cycles divided by the teacher's"}
    file = {**on_target(1_290_000, 44_000), "file_bytes": Figure(value=620_000)}
    standard: dict[str, Any] = {
        "unskip": "0.1.0",
        "started": "2026-03-02T09:14:07+00:00",
        "seconds": 2641.0,
        "estimated_seconds": 2512.0,
        "asked_seconds": 2700.0,
        "preset": "good",
        "net": "resnet56",
        "command": "unskip shrink resnet56 --weights mine.pth --data cifar10 --target ethos-u55-128 --cycles-ratio 0.7",
        "data": run().data,
        "target": ON_DEVICE,
        "estimated": True,
        "limits": {"cycles_ratio": 0.7},
        "most": {"cycles_ratio": 0.7},
        "accuracy_drop": 1.5,
        "measures": {
            **known,
            "cycles_ratio": known["cycles"].model_copy(update=ratio),
            "file_bytes": measures()["file_bytes"].about,
        },
        "teacher": Teacher(
            score=0.938, shortcuts=27, weights="mine.pth", input_shape=(3, 32, 32), figures=on_target(1_860_000, 52_000)
        ),
        "trials": (
            trial("plain", "plain", 1_290_000, 0.881, 0.914),
            trial("shortened", "shortened", 1_301_000, 0.884, 0.907, dropped="lower after 4 epochs"),
            trial("fewer", "blocks 7-7-7", 1_050_000, 0.871, dropped="lower after 2 epochs"),
            trial("narrow", "0.25 pruned, plain", 840_000, 0.815, dropped="lower after 2 epochs"),
            trial("lean", "lean stem, plain", 790_000, dropped="no time was left for it"),
        ),
        "winner": Winner(
            label="plain",
            method="fade_kd",
            epochs=24,
            seconds=1500.0,
            score=0.931,
            weights="winner/nets/fade_kd.safetensors",
            file="winner.ethos-u55-128.pte",
            format="ethos-u",
            runtime="Vela 5.1.0",
            precision="int8",
            sha256="cd" * 32,
            file_score=0.929,
            proof=Proof(
                runtime="TOSA reference model 0.80",
                images=256,
                max_difference=0.061,
                mean_difference=0.0093,
                agreement=0.984375,
                quantized_agreement=1.0,
                quantization="quantised after training 92.40 %, by training (2 epochs) 92.90 %, the second is kept; "
                "0 additions requantise",
            ),
            figures=file,
            recipe={"teacher": {"net": "resnet56", "weights": "mine.pth"}, "student": {"edits": ["without_shortcuts"]}},
            input_shape=(3, 32, 32),
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.247, 0.2435, 0.2616),
            preprocessing={"mode": "RGB", "size": [32, 32], "cover": None},
        ),
        "answers": answers(),
        "environment": {"python": "3.11.7", "cores": 2, "cpu": "AMD EPYC 9554"},
        "load": Load(average=0.1, cores=2),
    }
    return Shrink(**{**standard, **other})


def shrinks() -> dict[str, Shrink]:
    """Whatever the end of one may be."""
    whole = shrink()
    assert whole.winner is not None
    alone = {"trials": (), "winner": None, "answers": None}
    slow = {**whole.winner.figures, "cycles_ratio": Figure(value=0.74)}
    ways_out = (
        WayOut(words="images of 24x24 pixels", figures=on_target(720_000, 30_000), meets=True),
        WayOut(
            words="without shortcuts, 1 of 9 blocks (nearest to all limits)",
            figures=on_target(900_000, 44_000),
            meets=False,
        ),
    )
    latency_limit = {"latency_ratio": Figure(value=0.78, low=0.75, high=0.82)}
    of_latency = measures()["latency"].about
    ratio = of_latency.model_copy(update={"title": "Latency ratio", "unit": ""})
    return {
        "met": whole,
        "not met": changed(whole, "winner", figures=slow),
        "met already": shrink(**alone, limits={"cycles_ratio": 1.0}, most={"cycles_ratio": 1.0}),
        "cannot be met": shrink(**alone, ways_out=ways_out, limits={"cycles_ratio": 0.4}, most={"cycles_ratio": 0.4}),
        "cannot be met at all": shrink(**alone),
        "too much accuracy lost": changed(whole, "winner", file_score=0.871),
        "above the teacher": changed(whole, "winner", file_score=0.951),
        "many classes": changed(whole, answers=answers(1000)),
        "without labels": changed(
            whole,
            metric="agreement",
            answers=None,
            measures={**whole.measures, "agreement": measures()["agreement"].about},
        ),
        "one class never shown, no disagreement": changed(
            whole,
            answers=Answers(
                images=10,
                differing=0,
                classes=[
                    ClassAnswers(name="a", images=10, teacher=10, winner=10),
                    ClassAnswers(name="b", images=0, teacher=0, winner=0),
                ],
            ),
        ),
        "nothing asked": changed(
            whole, asked_seconds=None, estimated_seconds=None, preset=None, accuracy_drop=None, teacher=whole.teacher
        ),
        "timed": changed(
            whole,
            target="ONNX Runtime 1.31.1, 1 thread",
            estimated=False,
            limits={"latency_ratio": 0.8},
            most={"latency_ratio": 0.8},
            measures={**whole.measures, "latency": of_latency, "latency_ratio": ratio},
            teacher=changed(whole.teacher, figures={"latency": latency(5.1), "latency_ratio": Figure(value=1)}),
            winner=changed(whole.winner, figures={"latency": latency(4.0), **latency_limit}),
            trials=tuple(changed(each, figures={"latency": latency(4.0), **latency_limit}) for each in whole.trials),
        ),
        "hostile": changed(
            changed(whole, net=HOSTILE, command=HOSTILE, target=HOSTILE, notes=(HOSTILE,)),
            "answers",
            classes=tuple(changed(each, name=f"{HOSTILE} {i}") for i, each in enumerate(answers().classes)),
        ),
    }


def study(**other: Any) -> Study:
    """Two methods on two plain nets under three seeds, with what a paper prints; one cell of the last seed failed."""
    seeds = (0, 1, 2)
    scores = {
        ("teacher", "18 layers"): (93.57, (93.1, 93.4, 93.2)),
        ("JointRD", "18 layers"): (92.99, (92.1, 92.6, 92.2)),
        ("AlignKD", "18 layers"): (92.97, (92.9, 93.1, 92.8)),
        ("teacher", "34 layers"): (93.86, (93.8, 93.6, 94.1)),
        ("JointRD", "34 layers"): (92.41, (91.0, 92.3)),
        ("AlignKD", "34 layers"): (None, (92.2, 91.9)),
    }
    cells = [
        StudyCell(
            label=f"net={column}",
            labels={"net": column},
            seed=seed,
            run=f"cells/net={column[:2]}/seed-{seed}",
            state="failed" if (column, seed) == ("34 layers", 2) else "done",
            why="the disk is full" if (column, seed) == ("34 layers", 2) else "",
            seconds=61.5 + seed,
        )
        for column in ("18 layers", "34 layers")
        for seed in seeds
    ]
    runs = {(cell.label, cell.seed): cell.run for cell in cells if cell.state == "done"}
    entries = [
        Entry(
            row=row,
            column=column,
            printed=printed,
            measured=dict(zip(known, values, strict=False)),
            runs={seed: runs[f"net={column}", seed] for seed in known},
            curve={seed: _scores(value) for seed, value in zip(known, values, strict=False)},
            minutes={} if row == "teacher" else {seed: 1.5 + seed / 10 for seed in known},
        )
        for (row, column), (printed, values) in scores.items()
        for known in [seeds if column == "18 layers" else seeds[:2]]
    ]
    minutes = Entry(
        row="AlignKD, minutes",
        column="18 layers",
        value="minutes",
        printed=94,
        measured={0: 1.5, 1: 1.7, 2: 1.6},
        runs=entries[0].runs,
    )
    drop = Derived(
        row="drop",
        column="18 layers",
        printed=0.6,
        measured={0: 93.1 - 92.9, 1: 93.4 - 93.1, 2: 93.2 - 92.8},
        of="teacher",
        minus="AlignKD",
        best=None,
    )
    fields: dict[str, Any] = {
        "name": "alignkd-table1",
        "title": "Plain networks on CIFAR-10",
        "source": "AlignKD, table 1",
        "unskip": "0.1.0",
        "seeds": seeds,
        "cells": cells,
        "entries": [*entries, minutes],
        "derived": [drop],
        "counted": [Counted(name="negative drops", row="drop", below=0)],
        "conclusions": [
            Conclusion(better="AlignKD", than="JointRD", statement="AlignKD is as good as JointRD in less time")
        ],
        "seconds": 377.0,
    }
    return Study(**{**fields, **other})


def _scores(final: float) -> tuple[tuple[int, float], ...]:
    return tuple((each.epoch, 100 * each.score) for each in curve(8, final / 100) if each.score is not None)
