"""The loop: resumed anywhere it ends with the same bits, and it stops when the loss is no number."""

import copy
import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from rich.console import Console
from torch import nn

from unskip import CE, AlignKD, TrainingRecipe, UnskipError, build, distill, make_net
from unskip.methods import METHODS, method_from
from unskip.surgery import without_shortcuts
from unskip.training import Checkpoint, Monitor, train_student

SETTINGS = TrainingRecipe(epochs=3, batch_size=50, validate_every=2, checkpoint_minutes=1e-9)


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return make_net("resnet14", {"width": 4, "in_channels": 1})


class StoppingError(Exception):
    """Stands for the end of the process."""


class EndingImages:
    """Training images whose batches end the process after some steps."""

    def __init__(self, images, steps):
        self.whole = images
        self.left = steps

    def __getattr__(self, name):
        return getattr(self.whole, name)

    def epoch(self, *args):
        for batch in self.whole.epoch(*args):
            if self.left == 0:
                raise StoppingError
            self.left -= 1
            yield batch


def interrupted(data, steps):
    return replace(data, _train=EndingImages(data._train, steps))


def student_of(name, teacher):
    requested = build(without_shortcuts(teacher).spec, seed=1)
    return method_from(name, {}).student_of(teacher, requested)


def fit(name, teacher, data, settings=SETTINGS, checkpoint=None, monitor=None):
    student = student_of(name, teacher)
    _, history = train_student(
        teacher,
        data,
        method_from(name, {"images": 32, "passes": 1} if name == "fit_kd" else {}),
        student=student,
        training=settings,
        seed=3,
        checkpoint=checkpoint,
        monitor=monitor,
    )
    return student.state_dict(), history


def same(one, other):
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def without_times(history):
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in history]


def interrupted_at(stops, name, teacher, data, settings, checkpoint):
    """One training, ended after each of these steps of it and then gone on with: as `fit` gives it."""
    for before, stop in pairwise((0, *stops)):
        with pytest.raises(StoppingError):
            fit(name, teacher, interrupted(data, stop - before), settings, checkpoint)
    return fit(name, teacher, data, settings, checkpoint)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_resumes_bit_by_bit_at_any_step(name, teacher, data, tmp_path):
    """After the first step, where an epoch ends, within epochs, and before the last step; 4 make an epoch."""
    settings = SETTINGS.model_copy(update={"epochs": 5})  # one for each phase of the method that has most
    expected, history = fit(name, teacher, data, settings)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]
    assert [row["score"] is None for row in history] == [True, False, True, False, False]
    checkpoint = Checkpoint(tmp_path / "a.ckpt")
    weights, resumed = interrupted_at((1, 4, 6, 11, 15, 19), name, teacher, data, settings, checkpoint)
    assert same(weights, expected)
    for row, other in zip(without_times(resumed), without_times(history), strict=True):
        assert row.pop("terms") == pytest.approx(other.pop("terms"))
        assert row == pytest.approx(other)


@pytest.mark.parametrize("name", ["fade_kd", "stagewise_kd"])
def test_a_training_with_everything_on_resumes_bit_by_bit(name, teacher, data, tmp_path):
    settings = TrainingRecipe(
        epochs=5,
        batch_size=50,
        checkpoint_minutes=1e-9,
        optimizer={"name": "adamw", "lr": 0.002},
        schedule={"name": "cosine"},
        warmup_epochs=0.5,
        label_smoothing=0.1,
        mixup=0.2,
        cutmix=1.0,
        ema_decay=0.7,
    )
    expected, _ = fit(name, teacher, data, settings)
    checkpoint = Checkpoint(tmp_path / "a.ckpt")
    assert same(interrupted_at((1, 6, 18), name, teacher, data, settings, checkpoint)[0], expected)
    assert "average" in checkpoint.load()
    assert same(fit(name, teacher, data, settings, checkpoint)[0], expected), "asked again when it was done"


@pytest.mark.parametrize("name", ["fade_kd", "stagewise_kd"])
def test_snapshots_are_those_of_an_uninterrupted_training(name, teacher, data, tmp_path):
    """Phases too; a training with moving averages keeps what it validates."""
    settings = SETTINGS.model_copy(update={"epochs": 5, "snapshots": (0, 1, 3, 5), "ema_decay": 0.7})

    def kept(images, checkpoint=None):
        snapshots = {}
        train_student(
            teacher,
            images,
            method_from(name, {}),
            student=student_of(name, teacher),
            training=settings,
            seed=3,
            checkpoint=checkpoint,
            on_snapshot=lambda epochs, net: snapshots.update({epochs: copy.deepcopy(net.state_dict())}),
        )
        return snapshots

    expected = kept(data)
    assert list(expected) == [0, 1, 3, 5]
    assert same(expected[5], fit(name, teacher, data, settings)[0])
    assert not same(expected[0], expected[1])
    for stop in (2, 9):
        checkpoint = Checkpoint(tmp_path / f"{stop}.ckpt")
        with pytest.raises(StoppingError):
            kept(interrupted(data, stop), checkpoint)
        resumed = kept(data, checkpoint)
        assert list(resumed) == [epochs for epochs in (0, 1, 3, 5) if epochs > stop // 4]
        assert all(same(resumed[epochs], expected[epochs]) for epochs in resumed)


def test_snapshots_need_a_place(teacher, data):
    settings = TrainingRecipe(epochs=1, batch_size=50, snapshots=[0])
    with pytest.raises(UnskipError, match="on_snapshot"):
        distill(teacher, data, CE(), training=settings)
    seen = []
    distill(teacher, data, CE(), training=settings, on_snapshot=lambda epochs, net: seen.append(epochs))
    assert seen == [0]


@pytest.mark.parametrize("snapshots", [[1, 0], [0, 0], [-1], [0, 3]])
def test_snapshots_are_epochs_of_the_training(snapshots):
    with pytest.raises(ValueError, match="snapshots"):
        TrainingRecipe(epochs=2, snapshots=snapshots)


def test_resumed_after_two_interruptions_and_a_torn_file(teacher, data, tmp_path):
    expected, _ = fit("align_kd", teacher, data)
    checkpoint = Checkpoint(tmp_path / "a.ckpt")
    for stop in (5, 3):
        with pytest.raises(StoppingError):
            fit("align_kd", teacher, interrupted(data, stop), checkpoint=checkpoint)
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-10])
    with pytest.warns(UserWarning, match="damaged"):
        weights, _ = fit("align_kd", teacher, data, checkpoint=checkpoint)
    assert same(weights, expected)


def test_the_result_depends_on_the_seed_and_on_the_schedule(teacher, data):
    expected, _ = fit("ce", teacher, data)
    again, _ = fit("ce", teacher, data)
    assert same(expected, again)
    other, _ = fit("ce", teacher, data, SETTINGS.model_copy(update={"epochs": 2}))
    assert not same(expected, other)


@pytest.mark.parametrize("settings", [{"clip_norm": 0.01}, {"precision": "float32"}])
def test_settings_are_used(settings, teacher, data):
    base = TrainingRecipe(epochs=1, batch_size=50, precision="bf16", channels_last=False)
    changed = TrainingRecipe(**{**base.model_dump(), **settings})
    one, history = fit("ce", teacher, data, base)
    other, _ = fit("ce", teacher, data, changed)
    assert not same(one, other)
    assert history[0]["loss"] > 0


@pytest.mark.parametrize("parts", [2, 3, 50, 99])
def test_the_gradient_of_a_batch_is_that_of_its_parts(parts, data):
    """Without BatchNorm, which normalises each part by itself; parts that are not equally large, or single images."""
    torch.manual_seed(0)
    start = nn.Sequential(
        *(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
    )
    fields = {"epochs": 1, "batch_size": 50, "precision": "float32", "clip_norm": 0.5}
    whole, divided = (
        distill(None, data, CE(), student=start, training=TrainingRecipe(**fields, gradient_accumulation=count))
        for count in (1, parts)
    )
    for one, other in zip(whole["student"].parameters(), divided["student"].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert whole.history[0]["terms"] == pytest.approx(divided.history[0]["terms"], rel=1e-5)


@pytest.mark.parametrize("channels_last", [False, True])
def test_images_and_maps_lie_as_the_settings_say(channels_last, data):
    """What a convolution of several channels is given, of the student and of the teacher."""
    seen = []
    net = make_net("resnet14", {"width": 8, "in_channels": 1})  # of width 4, CPUs without AVX-512 refuse channels-last
    teacher = copy.deepcopy(net)
    for each in (net, teacher):
        each.stage1.block1.register_forward_hook(lambda module, maps, _: seen.append(maps[0]))
    settings = TrainingRecipe(epochs=1, batch_size=50, channels_last=channels_last)
    distill(teacher, data, AlignKD(), student=net, training=settings)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert len([maps for maps in seen if maps.shape[0] == 50]) >= 2
    for maps in seen:
        assert maps.is_contiguous(memory_format=layout) or maps.shape[0] != 50


def test_a_loss_that_is_no_number_stops_the_training_and_keeps_the_last_state(teacher, data, tmp_path):
    """The first epochs are well; then the labels' loss is multiplied with what is no number."""

    class Breaking(CE):
        def phases(self, teacher, student, epochs, task):
            (phase,) = super().phases(teacher, student, epochs, task)
            forward = phase.objective.forward

            def breaking(images, labels, progress):
                terms = forward(images, labels, progress)
                return {name: term * (float("nan") if progress > 0.5 else 1) for name, term in terms.items()}

            phase.objective.forward = breaking
            return [phase]

    checkpoint = Checkpoint(tmp_path / "a.ckpt")
    student = student_of("ce", teacher)
    with pytest.raises(UnskipError, match=r"ce is no longer finite in epoch 3.*max_lr"):
        train_student(
            None,
            data,
            Breaking(),
            student=student,
            training=SETTINGS.model_copy(update={"epochs": 4, "checkpoint_minutes": 5.0}),
            checkpoint=checkpoint,
        )
    saved = checkpoint.load()
    assert saved["state"]["epoch"] == 2
    assert len(saved["state"]["history"]) == 2
    weights = {name.removeprefix("student."): t for name, t in saved["loss"].items() if name.startswith("student.")}
    assert weights.keys() == student.state_dict().keys()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())


def test_metrics_have_a_line_per_epoch_also_after_an_interruption(teacher, data, tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"net": "teacher", "epoch": 1}\n{"net": "student", "epoch": 9}\n{"net": "stu')
    checkpoint = Checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(StoppingError):
        fit("kd", teacher, interrupted(data, 6), checkpoint=checkpoint, monitor=_monitor(metrics))
    _, history = fit("kd", teacher, data, checkpoint=checkpoint, monitor=_monitor(metrics))
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [(row["net"], row["epoch"]) for row in rows] == [
        ("teacher", 1),
        ("student", 1),
        ("student", 2),
        ("student", 3),
    ]
    assert rows[1:] == [{"net": "student", **record} for record in history]
    for record in history:
        assert record["loss"] == pytest.approx(sum(record["terms"].values()))
        assert set(record["terms"]) == {"ce", "kl"}


def _monitor(metrics):
    return Monitor("student", Console(quiet=True), metrics)


def test_wrong_pairs_of_net_and_data(data):
    with pytest.raises(UnskipError, match="num_classes = 7"):
        distill(None, data, CE(), student=make_net("resnet14", {"num_classes": 7, "in_channels": 1}))
    with pytest.raises(UnskipError, match="in_channels = 3"):
        distill(None, data, CE(), student=make_net("resnet14", {"in_channels": 3}))


def test_tensorboard_gets_every_epoch(teacher, data, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monitor = Monitor("student", Console(quiet=True), tensorboard=tmp_path)
    _, history = fit("kd", teacher, data, monitor=monitor)
    events = EventAccumulator(str(tmp_path / "student"))
    events.Reload()
    assert [e.value for e in events.Scalars("terms/kl")] == pytest.approx([r["terms"]["kl"] for r in history], rel=1e-5)
    assert [e.step for e in events.Scalars("score")] == [2, 3]


def test_without_a_terminal_a_start_that_takes_long_is_heard_of_once_a_minute(monkeypatch):
    console, now = Console(record=True, width=120), [1000.0]
    monkeypatch.setattr("unskip.training.monitor.time.monotonic", lambda: now[0])
    monitor = Monitor("student", console)
    for after in (30.0, 61.0, 100.0, 125.0):
        now[0] = 1000.0 + after
        monitor.preparing(f"after {after:.0f} s")
    assert console.export_text().split("\n") == ["  student  after 61 s", "  student  after 125 s", ""]


def test_progress_shows_rate_terms_and_time_left(teacher, data):
    console = Console(record=True, force_terminal=True, width=120)
    monitor = Monitor("student", console)
    fit("kd", teacher, data, monitor=monitor)
    shown = console.export_text()
    assert "images/s" in shown
    assert "score" in shown
