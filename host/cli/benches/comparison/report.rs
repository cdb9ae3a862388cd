//! What was measured, as lines of the table and as plots.

use crate::contenders::dunnage;
use crate::measure::Figures;
use crate::plots::{Plot, Series, colour};
use crate::processes::Times;
use crate::rounds::{Outcome, Task};
use crate::scale::{Growth, Many};
use crate::table::{Line, Target, Unit};

const OURS: &str = "Dunnage";
const SAFE: &str = "safe calls";

/// A line with a figure of every contender.
fn line(name: String, unit: Unit, outcomes: &[Outcome], of: fn(&Figures) -> f64) -> Line {
    let figures = outcomes.iter().map(|outcome| (outcome.contender.name(), of(&outcome.median))).collect();
    Line { name, unit, figures, judged: None, target: Target::None }
}

/// The figure of one contender.
fn figure(line: &Line, name: &str) -> Option<f64> {
    line.figures.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
}

/// The figures of all versions of Go.
fn go(line: &Line) -> impl Iterator<Item = f64> {
    line.figures.iter().filter(|(name, _)| name.starts_with("Go ")).map(|(_, value)| *value)
}

/// How many times as fast Dunnage is as the better Go, by times.
fn faster(mut line: Line, target: Target) -> Line {
    let best = go(&line).reduce(f64::min);
    line.judged = best.zip(figure(&line, OURS)).map(|(go, ours)| (go / ours, " × as fast as Go"));
    Line { target, ..line }
}

pub(crate) fn decisions(tasks: &[Task<'_>], outcomes: &[Vec<Outcome>]) -> Vec<Line> {
    let targets = [1.0, 2.0, 4.0, 4.0].map(Target::AtLeast);
    let rows = tasks.iter().zip(outcomes).zip(targets);
    rows.map(|((task, outcomes), target)| {
        faster(line(format!("GID decision, {}", task.spec.name), Unit::Micros, outcomes, |it| it.p50_us), target)
    })
    .collect()
}

pub(crate) fn cycles(tasks: &[Task<'_>], outcomes: &[Vec<Outcome>]) -> Vec<Line> {
    let targets = [Target::AtLeast(1.3), Target::None, Target::None, Target::AtLeast(4.0)];
    let rows = tasks.iter().zip(outcomes).zip(targets);
    let mut lines: Vec<_> = rows
        .map(|((task, outcomes), target)| {
            let name = format!("create + delete, {}", task.spec.name);
            faster(line(name, Unit::Micros, outcomes, |it| it.p50_us), target)
        })
        .collect();
    if let Some(small) = lines.first() {
        let (ours, safe) = (figure(small, OURS), figure(small, SAFE));
        let beside = Line {
            name: format!("{}, beside the safe calls", small.name),
            unit: small.unit,
            figures: small.figures.iter().filter(|(name, _)| name == OURS || name == SAFE).cloned().collect(),
            judged: ours.zip(safe).map(|(ours, safe)| (ours / safe, " × the safe calls")),
            target: Target::AtMost(1.4),
        };
        lines.insert(1, beside);
    }
    lines
}

pub(crate) fn threads(tasks: &[Task<'_>], outcomes: &[Vec<Outcome>]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (task, outcomes) in tasks.iter().zip(outcomes) {
        let name = format!("create + delete, {}, {} threads", task.spec.name, task.jobs);
        let mut rate = line(name.clone(), Unit::PerSecond, outcomes, |it| it.ops_per_second);
        let best = go(&rate).reduce(f64::max);
        rate.judged = best.zip(figure(&rate, OURS)).map(|(go, ours)| (ours / go, " × as many as Go"));
        lines.push(Line { target: Target::AtLeast(1.5), ..rate });
        let mut slowest = line(format!("{name}, p99"), Unit::Micros, outcomes, |it| it.p99_us);
        let best = go(&slowest).reduce(f64::min);
        slowest.judged = best.zip(figure(&slowest, OURS)).map(|(go, ours)| (ours / go, " × Go's"));
        lines.push(Line { target: Target::AtMost(1.0), ..slowest });
    }
    lines
}

/// A line about Dunnage alone.
fn alone(name: String, unit: Unit, value: f64, judged: Option<(f64, &'static str)>, target: Target) -> Line {
    Line { name, unit, figures: vec![(OURS.to_owned(), value)], judged, target }
}

pub(crate) fn processes(all: &[Times], peak: f64) -> anyhow::Result<Vec<Line>> {
    let figures = all.iter().map(|times| (times.contender.name(), times.median())).collect();
    let name = "`create` as a process, 2.9 KB".to_owned();
    let line = Line { name, unit: Unit::Millis, figures, judged: None, target: Target::None };
    let size = std::fs::metadata(dunnage())?.len() as f64 / 1e6;
    let limit = |value, most| (Some((value, " MB")), Target::AtMost(most));
    let ((size_judged, size_target), (peak_judged, peak_target)) = (limit(size, 6.0), limit(peak, 8.0));
    Ok(vec![
        faster(line, Target::AtLeast(1.2)),
        alone("memory of that process, at most".to_owned(), Unit::Megabytes, peak, peak_judged, peak_target),
        alone("size of the binary".to_owned(), Unit::Megabytes, size, size_judged, size_target),
    ])
}

pub(crate) fn scale(many: &[Many]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (name, of) in [("list", (|it| it.list) as fn(&Many) -> _), ("recover", |it| it.recover)] {
        for one in many {
            let (cost, bundles) = (of(one), f64::from(one.bundles));
            let rate = bundles / cost.millis * 1e3;
            let name = format!("`{name}`, {} bundles", thousands(one.bundles));
            let target = if name.starts_with("`list") { Target::AtLeast(50_000.0) } else { Target::None };
            lines.push(alone(name.clone(), Unit::Millis, cost.millis, Some((rate, " bundles/s")), target));
            let judged = Some((cost.megabytes, " MB"));
            let name = format!("{name}, memory");
            lines.push(alone(name, Unit::Megabytes, cost.megabytes, judged, Target::AtMost(20.0)));
        }
    }
    lines
}

pub(crate) fn endurance(count: u32, growth: &Growth) -> Vec<Line> {
    let (memory, handles) = (growth.kilobytes as f64, growth.descriptors as f64);
    let name = |what| format!("{} × create + delete in a process, growth of {what}", thousands(count));
    vec![
        alone(name("memory"), Unit::Kibibytes, memory, Some((memory, " KiB")), Target::AtMost(256.0)),
        alone(name("descriptors"), Unit::Pieces, handles, Some((handles, "")), Target::AtMost(0.0)),
    ]
}

/// A number that is easy to read.
fn thousands(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// One line for each contender, from the outcomes of tasks.
fn series(
    tasks: &[Task<'_>],
    outcomes: &[Vec<Outcome>],
    x: fn(&Task<'_>) -> f64,
    y: fn(&Figures) -> f64,
) -> Vec<Series> {
    let contenders = outcomes.first().into_iter().flatten().map(|outcome| &outcome.contender);
    contenders
        .map(|contender| {
            let points = tasks.iter().zip(outcomes).flat_map(|(task, outcomes)| {
                let found = outcomes.iter().find(|outcome| outcome.contender.kind == contender.kind);
                found.map(|outcome| (x(task), y(&outcome.median)))
            });
            Series { name: contender.name(), colour: colour(contender), points: points.collect() }
        })
        .collect()
}

/// Time by the size of the spec.
pub(crate) fn plot_sizes(file: &str, title: &str, tasks: &[Task<'_>], outcomes: &[Vec<Outcome>]) -> anyhow::Result<()> {
    let series = series(tasks, outcomes, |task| task.spec.bytes as f64 / 1e3, |it| it.p50_us);
    Plot { file, title, x: "size of the spec, KB", y: "median, µs", logarithmic: true, series }.draw()
}

/// Operations per second by threads.
pub(crate) fn plot_threads(tasks: &[Task<'_>], outcomes: &[Vec<Outcome>]) -> anyhow::Result<()> {
    let rates = series(tasks, outcomes, |task| f64::from(task.jobs), |it| it.ops_per_second);
    let title = "Create + delete of 2.9 KB bundles on tmpfs";
    let y = "operations per second";
    Plot { file: "threads.svg", title, x: "threads", y, logarithmic: true, series: rates }.draw()
}

/// How many of the processes had come to their end after so long.
pub(crate) fn plot_processes(all: &[Times]) -> anyhow::Result<()> {
    let line = |times: &Times| {
        // The slowest few show the machine's other work, and would hide the rest.
        let shown = times.millis.len() * 95 / 100;
        let share = |index: usize| index as f64 * 100.0 / times.millis.len().max(1) as f64;
        let points = times.millis.iter().take(shown).enumerate().map(|(index, time)| (share(index), *time)).collect();
        Series { name: times.contender.name(), colour: colour(&times.contender), points }
    };
    let title = "`create` as a process of its own, 2.9 KB";
    let series = all.iter().map(line).collect();
    let (x, y) = ("percent of the processes", "at most, ms");
    Plot { file: "processes.svg", title, x, y, logarithmic: false, series }.draw()
}
