"""The way in which steps are computed: safe, the fastest where that can be known, kept when a training goes on."""

import pytest
import torch
from torch import nn

from unskip import CE, KD, TrainingRecipe, UnskipError, distill, make_net
from unskip.methods import METHODS
from unskip.nets import StagedNet
from unskip.training import Checkpoint, train_student
from unskip.training import fastest as module
from unskip.training.device import describe_numerics, make_fabric
from unskip.training.fastest import decided, usual
from unskip.training.prepared_training import prepare_training

CPU = torch.device("cpu")
FLOAT32 = TrainingRecipe(epochs=2, batch_size=50, precision="float32", validate_every=2)


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    return make_net("resnet14", {"width": 8, "in_channels": 1})


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSKIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "steps"


@pytest.fixture
def chip(monkeypatch):
    """Lets the CPU say what it can."""

    def says(**capabilities):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)

    return says


def net_with(*convs):
    width = convs[-1].out_channels
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
    return StagedNet({"stem": nn.Sequential(*convs), "head": head})


def loss_of(net):
    return CE().loss(student=net)


PATCHES = nn.Conv2d(3, 16, 4, stride=4)
SHRINKING = nn.Conv2d(4, 8, 1, stride=2)


@pytest.mark.parametrize(
    ("conv", "is_last"),
    [
        (nn.Conv2d(3, 16, 7, stride=2), True),
        (nn.Conv2d(1, 16, 3), True),
        (nn.Conv2d(8, 16, 1, stride=2), True),
        (nn.Conv2d(16, 32, 3, groups=2), True),
        (nn.Conv2d(24, 24, 3, groups=24), True),
        (PATCHES, False),
        (SHRINKING, False),
        (nn.Conv2d(3, 4, 3), False),
        (nn.Conv2d(4, 8, 1), False),
        (nn.Conv2d(16, 16, 3, groups=4), False),
        (nn.Conv2d(16, 12, 3), False),
    ],
)
def test_float32_is_channels_last_on_a_cpu_where_all_convolutions_are_usual(conv, is_last, chip):
    loss = loss_of(net_with(conv))
    for avx512 in (True, False):
        chip(avx2=True, avx512_f=avx512)
        assert usual(FLOAT32, loss, CPU).channels_last is is_last
        assert usual(FLOAT32.model_copy(update={"precision": "bf16"}), loss, CPU).channels_last is True
        assert usual(FLOAT32, loss, torch.device("cuda")).channels_last is True


@pytest.mark.parametrize("conv", [PATCHES, SHRINKING, nn.Conv2d(4, 8, (3, 1), stride=(1, 2))])
def test_a_layout_in_which_this_cpu_would_write_beyond_its_memory_is_refused(conv, chip):
    asked = FLOAT32.model_copy(update={"channels_last": True})
    loss = loss_of(net_with(conv))
    chip(avx2=True)
    with pytest.raises(UnskipError, match=r"training\.channels_last.*stem"):
        usual(asked, loss, CPU)
    assert usual(asked.model_copy(update={"precision": "bf16"}), loss, CPU).channels_last is True
    assert usual(asked, loss_of(net_with(nn.Conv2d(3, 8, 3))), CPU).channels_last is True
    chip(avx2=True, avx512_f=True)
    assert usual(asked, loss, CPU).channels_last is True


def test_a_teacher_counts_too(chip):
    chip(avx2=True)
    teacher, student = net_with(PATCHES), net_with(nn.Conv2d(3, 16, 3))
    assert usual(FLOAT32, loss_of(student), CPU).channels_last is True
    assert usual(FLOAT32, KD().loss(teacher, student), CPU).channels_last is False


def prepared(teacher, data, training=FLOAT32, method=KD, before=None):
    return prepare_training(
        teacher, data, method(), student=None, test=None, training=training, task=None, seed=3, before=before
    )


def test_a_short_training_is_not_tried(teacher, data, cache):
    settings = prepared(teacher, data).settings
    assert (settings.channels_last, settings.compile) == (True, False)
    assert not cache.exists()


@pytest.fixture
def timed(monkeypatch):
    """Lets every training be worth a trial, and its ways take a time that is told beforehand."""
    asked = []

    def takes(first, last):
        def in_turn(phase, ways, images, labels, fabric):
            asked.append(phase.name)
            return [last if way.channels_last else first for way in ways]

        monkeypatch.setattr(module, "_LEAST_STEPS", 1)
        monkeypatch.setattr(module, "_in_turn", in_turn)
        return asked

    return takes


@pytest.mark.parametrize(("first", "last", "is_last"), [(1.0, 2.0, False), (2.0, 1.0, True), (0.97, 1.0, True)])
def test_the_faster_layout_is_taken_if_it_clearly_is(first, last, is_last, teacher, data, cache, timed):
    timed(first, last)
    settings = prepared(teacher, data).settings
    assert settings.channels_last is is_last
    assert (len(list(cache.iterdir())), settings.epochs) == (1, 2)


def test_a_trial_is_made_once_for_a_network_a_batch_and_a_machine(teacher, data, cache, timed):
    asked = timed(1.0, 2.0)
    for _ in range(2):
        assert prepared(teacher, data).settings.channels_last is False
    assert asked == ["kd"]
    prepared(teacher, data, FLOAT32.model_copy(update={"batch_size": 40}))
    prepared(make_net("resnet14", {"width": 16, "in_channels": 1}), data)
    prepared(teacher, data, method=METHODS["fitnets"])
    assert asked == ["kd"] * 3 + ["hint", "kd"]
    for kept in cache.iterdir():
        kept.write_text("{}")
    prepared(teacher, data)
    assert asked[5:] == ["kd"], "a file that says nothing is none"


def test_phases_count_by_their_epochs(teacher, data, cache, monkeypatch):
    """Two of five epochs are the hint's, in which channels-first is faster by less than the other phase loses."""

    def in_turn(phase, ways, *_):
        first = 1.0 if phase.name == "hint" else 3.0
        return [2.0 if way.channels_last else first for way in ways]

    monkeypatch.setattr(module, "_LEAST_STEPS", 1)
    monkeypatch.setattr(module, "_in_turn", in_turn)
    settings = FLOAT32.model_copy(update={"epochs": 5})
    assert prepared(teacher, data, settings, lambda: METHODS["fitnets"](hint_share=0.4)).settings.channels_last is True
    assert prepared(teacher, data, settings, lambda: METHODS["fitnets"](hint_share=0.8)).settings.channels_last is False


@pytest.mark.parametrize("name", list(METHODS))
def test_a_trial_leaves_no_trace(name, teacher, data, cache, monkeypatch):
    training = FLOAT32.model_copy(update={"epochs": 5})
    before = prepared(teacher, data, training, METHODS[name]).loss.state_dict()
    monkeypatch.setattr(module, "_LEAST_STEPS", 1)
    generator = torch.get_rng_state()
    ready = prepared(teacher, data, training, METHODS[name])
    assert torch.equal(generator, torch.get_rng_state())
    after = ready.loss.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in after)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in ready.loss.parameters())
    (kept,) = cache.iterdir()
    assert kept.read_text().count("cpu float32 channels-") == 2


def way(device, channels_last, compiled):
    return {"device": device, "precision": "float32", "channels_last": channels_last, "compile": compiled}


def test_a_training_that_goes_on_keeps_its_way(teacher, data, cache, timed, tmp_path):
    asked = timed(1.0, 2.0)
    other = prepared(teacher, data, before=way("cpu", True, False)).settings
    assert (other.channels_last, asked) == (True, [])
    elsewhere = prepared(teacher, data, before=way("NVIDIA H100", True, True)).settings
    assert (elsewhere.channels_last, asked) == (False, ["kd"]), "which this machine does not have"
    checkpoint = Checkpoint(tmp_path / "kd.ckpt")
    _, history = train_student(teacher, data, KD(), training=FLOAT32, checkpoint=checkpoint)
    assert [row["numerics"] for row in history] == ["cpu float32 channels-first"] * 2
    assert checkpoint.load()["numerics"] == way("cpu", False, False)


def test_a_state_of_an_earlier_version_says_nothing_of_it_and_is_gone_on_from(teacher, data, tmp_path):
    checkpoint = Checkpoint(tmp_path / "kd.ckpt")
    train_student(teacher, data, KD(), training=FLOAT32, checkpoint=checkpoint)
    state = checkpoint.load()
    del state["numerics"]
    checkpoint.save(state)
    _, history = train_student(teacher, data, KD(), training=FLOAT32, checkpoint=checkpoint)
    assert len(history) == FLOAT32.epochs


def test_batches_of_the_users_own_are_not_drawn_for_a_trial(teacher, data, cache, timed):
    asked = timed(1.0, 2.0)
    distill(teacher, [*data.train_batches(50, 0).epoch(0)], CE(), training=FLOAT32)
    assert asked == []


# Compiled steps


@pytest.mark.slow
@pytest.mark.parametrize("name", list(METHODS))
def test_a_compiled_training_is_the_same_up_to_rounding(name, teacher, data, monkeypatch):
    """The step as PyTorch captures it, without its code generation.

    At a low rate: gradients of JointRD are summed in another order, and at 0.01 weights that differ by 1e-7 at the
    start lead to losses that differ by half a percent after 20 steps, compiled or not.
    """
    whole = torch.compile
    monkeypatch.setattr(torch, "compile", lambda net, **_: whole(net, backend="aot_eager"))
    slow = FLOAT32.schedule.model_copy(update={"max_lr": 0.0001})
    training = FLOAT32.model_copy(update={"epochs": 5, "validate_every": 5, "schedule": slow})
    nets = {
        how: distill(teacher, data, METHODS[name](), training=training.model_copy(update={"compile": how}))
        for how in (False, True)
    }
    losses = [[row["loss"] for row in net.history] for net in nets.values()]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert nets[True].history[0]["numerics"].endswith("compiled")


@pytest.mark.parametrize("name", [name for name in METHODS if name != "embedded_kd"])
def test_an_objective_is_one_graph(name):
    """What is to be launched at once must not go back to Python in between."""
    teacher = make_net("resnet8", {"width": 8, "in_channels": 1})
    for phase in METHODS[name]().loss(teacher, epochs=5).phases:
        torch._dynamo.reset()
        objective = torch.compile(phase.objective, backend="eager", fullgraph=True)
        objective.train()
        terms = objective(torch.randn(8, 1, 32, 32), torch.randint(10, (8,)), 0.5)
        assert all(term.isfinite() for term in terms.values())


@pytest.mark.slow
def test_a_training_whose_step_is_generated_code_resumes_bit_by_bit(teacher, data, tmp_path):
    training = FLOAT32.model_copy(update={"compile": True, "epochs": 4, "checkpoint_minutes": 1e-9})
    expected = distill(teacher, data, KD(), training=training)["student"].state_dict()
    checkpoint = tmp_path / "kd.ckpt"

    class StoppingError(Exception): ...

    def stop(record):
        if record["epoch"] == 2:
            raise StoppingError

    with pytest.raises(StoppingError):
        distill(teacher, data, KD(), training=training, checkpoint=checkpoint, on_epoch=stop)
    weights = distill(teacher, data, KD(), training=training, checkpoint=checkpoint)["student"].state_dict()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_what_pytorch_cannot_compile_is_said(teacher, data, monkeypatch):
    def broken(graph, example):
        raise RuntimeError("no compiler here")

    whole = torch.compile
    monkeypatch.setattr(torch, "compile", lambda net, **_: whole(net, backend=broken))
    with pytest.raises(UnskipError, match=r"no compiler here.*set training\.compile to false"):
        distill(teacher, data, KD(), training=FLOAT32.model_copy(update={"compile": True}))


def test_on_a_gpu_compiling_is_tried_where_it_pays_and_failing_is_no_end(teacher, data, cache, monkeypatch):
    loss = KD().loss(teacher)
    fabric = make_fabric(FLOAT32)
    eager, compiled = (FLOAT32.model_copy(update={"channels_last": True, "compile": how}) for how in (False, True))
    monkeypatch.setattr(module, "_ways", lambda *_: [eager, compiled])
    asked = []

    def in_turn(phase, ways, *_):
        asked.append([way.compile for way in ways])
        if ways == [compiled] and fails:
            raise UnskipError("no Triton")
        return [0.01 if way.compile else 0.1 for way in ways]

    monkeypatch.setattr(module, "_in_turn", in_turn)

    def fastest_after(steps):
        batches = iter([(torch.randn(4, 1, 32, 32), torch.zeros(4, dtype=torch.int64))])
        for kept in cache.glob("*"):
            kept.unlink()
        return describe_numerics(decided(FLOAT32, loss, batches, fabric=fabric, steps=steps))

    fails = False
    assert fastest_after(3000) == "cpu float32 channels-last"  # 5 minutes
    assert asked == [[False]]
    assert fastest_after(30_000) == "cpu float32 channels-last compiled"
    fails = True
    with pytest.warns(UserWarning, match="no Triton"):
        assert fastest_after(30_000) == "cpu float32 channels-last"
