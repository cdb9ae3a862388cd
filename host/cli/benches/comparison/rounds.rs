//! Rounds: every contender in turn, so that a busy moment of the machine hits all of them.

use crate::contenders::{Contender, Operation, Places};
use crate::measure::{Figures, percentile};
use crate::specs::Sample;

/// What is measured of each contender.
pub(crate) struct Task<'a> {
    pub(crate) operation: Operation,
    pub(crate) spec: &'a Sample,
    pub(crate) jobs: u32,
    /// Operations in a round.
    pub(crate) count: u32,
}

/// The medians of all rounds.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) contender: Contender,
    pub(crate) median: Figures,
}

/// Runs all tasks in all rounds; the outcomes of each task.
pub(crate) fn run(
    tasks: &[Task<'_>],
    contenders: &[Contender],
    rounds: usize,
    places: &Places,
) -> anyhow::Result<Vec<Vec<Outcome>>> {
    let mut found: Vec<Vec<(&Contender, Vec<Figures>)>> = tasks
        .iter()
        .map(|task| {
            let taking_part = contenders.iter().filter(|one| task.operation == Operation::Cycle || one.decides());
            taking_part.map(|contender| (contender, Vec::new())).collect()
        })
        .collect();
    for round in 0..rounds {
        eprint!("\rround {} of {rounds} ", round + 1);
        for (task, contenders) in tasks.iter().zip(&mut found) {
            // No contender always comes first, or always after the same one.
            let first = round % contenders.len().max(1);
            contenders.rotate_left(first);
            for (contender, figures) in contenders.iter_mut() {
                figures.push(contender.run(task.operation, task.spec, task.count, task.jobs, places)?);
                places.clear()?;
            }
            contenders.rotate_right(first);
        }
    }
    eprintln!();
    let outcome = |(contender, figures): (&Contender, Vec<Figures>)| Outcome {
        contender: contender.clone(),
        median: medians(&figures),
    };
    Ok(found.into_iter().map(|task| task.into_iter().map(outcome).collect()).collect())
}

fn medians(figures: &[Figures]) -> Figures {
    let median = |of: fn(&Figures) -> f64| percentile(&mut figures.iter().map(of).collect::<Vec<_>>(), 50);
    Figures {
        ops_per_second: median(|figures| figures.ops_per_second),
        p50_us: median(|figures| figures.p50_us),
        p99_us: median(|figures| figures.p99_us),
    }
}
