"""What a run shows, in sentences computed from its numbers.

A difference counts only when it exceeds two standard errors on the test images; otherwise the sentence says
that it is within the noise of one run. Where the accuracies that are compared are no better than guessing, the first
sentence says so, and there is no comparison.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from unskip.chance import chance_limit, tells_chance
from unskip.report.record import Net, Run
from unskip.units import SPACE, byte_unit, milliseconds, percent, points, signed_points, times

__all__ = ["Summary", "noise", "summarise"]


@dataclass(frozen=True)
class Summary:
    """``headline`` is about accuracy, ``costs`` about memory and latency, ``notes`` about trust in them."""

    headline: str
    costs: str
    notes: tuple[str, ...]


def summarise(run: Run) -> Summary:
    """The sentences at the head of the report."""
    return Summary(headline=_headline(run), costs=f"{_memory(run)} {_latency(run)}", notes=tuple(_notes(run)))


def noise(top1: float, other_top1: float, num_test: int) -> float:
    """Two standard errors of the difference of two accuracies on ``num_test`` images, as a share.

    The two are taken as independent. On the same images nets differ by less, so this errs towards caution.
    """
    return 2 * math.sqrt((top1 * (1 - top1) + other_top1 * (1 - other_top1)) / num_test)


def _verdict(difference: float, limit: float) -> int:
    """The sign of a difference, zero when it lies within the limit."""
    return 0 if abs(difference) <= limit else 1 if difference > 0 else -1


def _headline(run: Run) -> str:
    if run.is_at_chance(run.teacher) or run.is_at_chance(run.best_student):
        return f"{_chance(run)}."
    if run.baseline is not None and run.is_at_chance(run.baseline):
        known = f"{run.baseline.label}, the same student trained without a teacher, is at chance ({_guessed(run)})"
        return f"{known}, so what is lost without a teacher's help says nothing. {_against_teacher(run)}."
    if run.baseline is None:
        return f"{_against_teacher(run)}."
    loss, recovered = _loss(run, run.baseline), _recovered(run, run.baseline)
    return f"{loss}; {recovered}."


def _chance(run: Run) -> str:
    """That the teacher, or the best student and so every student, or both are no better than guessing."""
    teacher, best, several = run.teacher, run.best_student, len(run.students) > 1
    if not run.is_at_chance(best):
        return (
            f"The teacher is at chance: {percent(teacher.top1)} top-1, where {_guessed(run)}; {best.label} ends at "
            f"{percent(best.top1)} and owes it nothing"
        )
    students = "all students" if several else "the student"
    if run.is_at_chance(teacher):
        return (
            f"{'The' if several else 'Both the'} teacher and {students} are at chance: {percent(teacher.top1)} and "
            f"{'at best ' if several else ''}{percent(best.top1)} top-1, where {_guessed(run)}; nothing was learned, "
            "and nothing can be compared"
        )
    return (
        f"{students.capitalize()} {'are' if several else 'is'} at chance: {'at best ' if several else ''}"
        f"{percent(best.top1)} top-1, where {_guessed(run)} and the teacher has {percent(teacher.top1)}; what did not "
        "learn can be compared with nothing"
    )


def _guessed(run: Run) -> str:
    return f"always naming the most frequent class gives {percent(run.data.guessing)}"


def _subject(run: Run) -> str:
    """The student, as the edit of the teacher that it is."""
    teacher, student = run.teacher, run.best_student
    kept = f"with {student.shortcuts}" if student.shortcuts else "without"
    described = f"{student.net} {kept} shortcut{'s' * (student.shortcuts != 1)}"
    if student.net != teacher.net:
        return f"In place of {teacher.net}, {described}"
    if student.depth is not None and student.depth != teacher.depth:
        return f"With {'-'.join(map(str, student.depth))} blocks in its stages, {described}"
    removed = teacher.shortcuts - student.shortcuts
    if teacher.shortcuts == 0:
        return student.net
    if removed == 0:
        return f"With its shortcuts unchanged, {student.net}"
    if removed < 0:  # each has become several shorter ones
        return f"With {student.shortcuts} shortcuts in the place of {teacher.shortcuts}, {student.net}"
    if student.shortcuts:
        return f"Without {removed} of its {teacher.shortcuts} shortcuts, {student.net}"
    return f"Without its {f'{removed} shortcuts' if removed > 1 else 'shortcut'}, {student.net}"


def _against_teacher(run: Run) -> str:
    teacher, student = run.teacher, run.best_student
    gap = student.top1 - teacher.top1
    how = "without a teacher" if student.method == "ce" else f"with {run.training_of(student)}"
    place = {
        1: f"is {points(gap)} points better than the teacher",
        0: "is within noise of the teacher",
        -1: f"stays {points(gap)} points below the teacher",
    }[_verdict(gap, noise(student.top1, teacher.top1, run.data.num_test))]
    sentence = f"{_subject(run)} trained {how} {place}: {percent(student.top1)} against {percent(teacher.top1)}"
    others = [net for net in run.students if net != student]
    if student.method == "ce" and others and all(net.top1 <= student.top1 for net in others):
        sentence += "; no distillation method does better"
    return sentence


def _loss(run: Run, baseline: Net) -> str:
    difference = baseline.top1 - run.teacher.top1
    change = {
        1: f"gains {points(difference)} points",
        0: f"keeps its accuracy within noise ({signed_points(difference)} points)",
        -1: f"loses {points(difference)} points",
    }[_verdict(difference, noise(baseline.top1, run.teacher.top1, run.data.num_test))]
    return f"{_subject(run)} {change}"


def _recovered(run: Run, baseline: Net) -> str:
    """What the best method adds to training without a teacher, in terms of what was lost."""
    teacher, best = run.teacher, run.best_student
    gain, gap = best.top1 - baseline.top1, best.top1 - teacher.top1
    gained = _verdict(gain, noise(best.top1, baseline.top1, run.data.num_test))
    against_teacher = _verdict(gap, noise(best.top1, teacher.top1, run.data.num_test))
    lost = _verdict(teacher.top1 - baseline.top1, noise(baseline.top1, teacher.top1, run.data.num_test)) > 0

    if not lost:
        return {
            1: f"{best.label} adds {points(gain)} points",
            0: f"what {best.label} changes ({signed_points(gain)} points) is within noise of one run",
            -1: f"{best.label} takes {points(gain)} points away",
        }[gained]
    if gained < 0:
        return f"{best.label} recovers none of them and ends {points(gain)} points lower still"
    if gained == 0 and gain > 0:
        return f"what {best.label} recovers, {points(gain)} of them, is within noise of one run"
    if gained == 0:
        return f"{best.label} recovers none of them ({signed_points(gain)} points, within noise of one run)"
    if against_teacher > 0:
        return f"{best.label} recovers them all and ends {points(gap)} points above the teacher"
    if gap >= 0:
        return f"{best.label} recovers them all and ends within noise of the teacher"
    tail = " and ends within noise of the teacher" if against_teacher == 0 else ""
    return f"{best.label} recovers {points(gain)} of them{tail}"


def _memory(run: Run) -> str:
    teacher, student = run.teacher, run.best_student
    unit = byte_unit([teacher.peak_bytes, student.peak_bytes])
    pair = f"{unit.number(student.peak_bytes)} against {unit(teacher.peak_bytes)}"
    ratio = teacher.peak_bytes / student.peak_bytes
    if student.architecture == teacher.architecture:
        return f"Peak feature-map memory is the teacher's ({unit(student.peak_bytes)}): the two are the same network."
    if ratio == 1:
        plain = student.net == teacher.net and student.shortcuts == 0
        where = run.memory.nets.student.peak_at
        because = f"the most is held at {where}" + (", where no shortcut is alive" if plain else " already")
        return f"Peak feature-map memory does not change ({unit(student.peak_bytes)}), because {because}."
    if times(ratio) == times(1) or times(1 / ratio) == times(1):
        return f"Peak feature-map memory hardly changes ({pair})."
    if ratio > 1:
        return f"The student holds {times(ratio)} less live feature-map memory at its peak ({pair})."
    return f"The student holds {times(1 / ratio)} more live feature-map memory at its peak ({pair})."


def _latency(run: Run) -> str:
    teacher, student = run.teacher.latency, run.best_student.latency
    if run.latency is None or teacher is None or student is None:
        return "Latency was not measured."
    pair = f"median {milliseconds(student.median_ms)} against {milliseconds(teacher.median_ms)}{SPACE}ms"
    overlap = student.low_ms <= teacher.median_ms <= student.high_ms or (
        teacher.low_ms <= student.median_ms <= teacher.high_ms
    )
    speedup = run.latency.speedup
    if overlap or times(speedup) == times(1):
        return f"The exported file runs as fast as the teacher's within the spread of the measurement ({pair})."
    if speedup > 1:
        return f"The exported file runs {times(speedup)} faster ({pair})."
    return f"The exported file runs {times(1 / speedup)} slower ({pair})."


def _notes(run: Run) -> list[str]:
    teacher, best, baseline = run.teacher, run.best_student, run.baseline
    limit = points(noise(teacher.top1, best.top1, run.data.num_test))
    notes = [
        f"One seed ({run.seed}) and {run.data.num_test:,} test images: differences up to about {limit} "
        "points (two standard errors) are within noise of one run."
    ]
    if baseline is not None:
        notes.append(f"What is lost is measured on {baseline.label}, the same student trained without a teacher.")
        if baseline.epochs != best.epochs:
            notes.append(
                f"The two were not trained equally long: {baseline.label} {baseline.epochs} epochs, "
                f"{best.label} {best.epochs}."
            )
    notes += _chance_notes(run)
    notes += [_family(nets) for nets in run.trainings.values() if len(nets) > 1]
    diverged = [label for label, epochs in run.history.items() if not all(math.isfinite(e.loss) for e in epochs)]
    if diverged:
        notes.append(f"The loss did not stay finite in the training of {', '.join(diverged)}.")
    notes += [
        f"{net.unopened} of {net.label}'s modules could not be opened: whether they have shortcuts is unknown."
        for net in (teacher, best)
        if net.unopened
    ]
    if teacher.reused:
        notes.append("The teacher was not trained in this run.")
    return notes


def _chance_notes(run: Run) -> list[str]:
    """The nets at chance that the headline does not speak of, and those that too few images cannot tell from it."""
    if not tells_chance(run.data.num_test):
        limit = chance_limit(run.data.guessing, run.data.num_test)
        unclear = [net.label for net in run.nets if net.top1 <= limit]
        few = f"{run.data.num_test} test images are too few to tell {', '.join(unclear)} from chance"
        return [f"{few}: {_guessed(run)}."] if unclear else []
    lost = [net.label for net in run.students if run.is_at_chance(net) and net != run.baseline]
    if not lost or run.is_at_chance(run.best_student):
        return []
    return [f"No better than chance, where {_guessed(run)}: {', '.join(lost)}."]


def _family(nets: Sequence[Net]) -> str:
    """The nets that come out of one training, each with its share of the first one's MACs."""
    first, *others = nets
    said = [f"{net.label} ({percent(net.top1)} with {percent(net.macs / first.macs)} of its MACs)" for net in others]
    return f"One training gave {first.label} ({percent(first.top1)}) and {', '.join(said)}."
