//! The tables.

use std::fmt::Write as _;

use crate::Options;
use crate::goals::{GOALS, INSPECTING, OPAQUE, Outcome};
use crate::machine;
use crate::programs::Hops;
use crate::results::{Metric, Results};

/// All of them.
pub(super) fn tables(results: &Results, options: &Options) -> String {
    let mut text = conditions(options);
    text.push_str(&goals(results));
    for hops in Hops::ALL {
        for group in GROUPS {
            text.push_str(&table(results, hops, group));
        }
    }
    text.push_str(&programs(results));
    text.push_str(&loads(results));
    text
}

/// Metrics that stand in one table.
const GROUPS: [&[Metric]; 4] = [
    &[
        Metric::RoundTripP50,
        Metric::RoundTripP99,
        Metric::Requests,
        Metric::RequestCpu,
    ],
    &[Metric::Up, Metric::Down, Metric::UpCpu, Metric::DownCpu],
    &[
        Metric::Sessions,
        Metric::SessionCpu,
        Metric::Resumed,
        Metric::ResumedCpu,
        Metric::Idle,
    ],
    &[
        Metric::RealCalls,
        Metric::RealUp,
        Metric::RealDown,
        Metric::FirstAnswer,
    ],
];

fn conditions(options: &Options) -> String {
    let about = machine::about();
    let (rounds, turn, idle) = options.amounts();
    let warning = match options.quick {
        true => "**A quick run, to see whether all works: these numbers say nothing.**\n\n",
        false => "",
    };
    format!(
        "{warning}{} ({} cores used), Linux {}. {rounds} rounds, turns of {} ms, {idle} idle \
         sessions. Medians; in brackets the ratio to the best of the programs that the guard is \
         compared with, the median of the ratios of each round.\n\n",
        about["cpu"].as_str().unwrap_or("unknown CPU"),
        about["cores"],
        about["kernel"].as_str().unwrap_or("unknown"),
        turn.as_millis(),
    )
}

fn goals(results: &Results) -> String {
    let mut text = String::from(
        "| goal | way | against | to reach | opaque | inspecting |\n|---|---|---|---|---|---|\n",
    );
    let before = text.len();
    for goal in GOALS {
        let Some(outcome) = goal.outcome(results) else {
            continue;
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            goal.metric.title(),
            goal.hops.name(),
            outcome.against,
            outcome.goal,
            reached(&outcome, OPAQUE),
            reached(&outcome, INSPECTING),
        );
    }
    match text.len() > before {
        true => text + "\n",
        false => String::new(),
    }
}

fn reached(outcome: &Outcome, form: &str) -> String {
    let found = outcome.reached.iter().find(|(name, ..)| *name == form);
    found.map_or_else(String::new, |(_, number, reached)| {
        format!("{number:.2} {}", if *reached { "✓" } else { "✗" })
    })
}

fn table(results: &Results, hops: Hops, group: &[Metric]) -> String {
    let measured = |metric: &Metric| {
        let mut rows = results.rows.iter();
        rows.any(|row| (row.metric, row.hops) == (*metric, hops))
    };
    let metrics: Vec<Metric> = group.iter().copied().filter(measured).collect();
    if metrics.is_empty() {
        return String::new();
    }
    let mut names: Vec<&str> = Vec::new();
    for row in &results.rows {
        if row.hops == hops && metrics.contains(&row.metric) && !names.contains(&row.name) {
            names.push(row.name);
        }
    }
    let titles: Vec<&str> = metrics.iter().map(|metric| metric.title()).collect();
    let mut text = format!(
        "| {} | {} |\n|---|{}\n",
        hops.name(),
        titles.join(" | "),
        "---:|".repeat(metrics.len())
    );
    for name in names {
        let cells: Vec<String> = metrics
            .iter()
            .map(|metric| cell(results, *metric, hops, name))
            .collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    text + "\n"
}

fn cell(results: &Results, metric: Metric, hops: Hops, name: &str) -> String {
    let Some(row) = results.row(metric, hops, name) else {
        return String::new();
    };
    let number = number(row.median());
    match results.best_peer(metric, hops, &[]) {
        Some(best) => format!("{number} ({:.2})", row.ratio_to(best)),
        None => number,
    }
}

/// With three figures or so.
pub(super) fn number(number: f64) -> String {
    match number.abs() {
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

fn programs(results: &Results) -> String {
    let lines = results.versions.iter();
    let lines = lines.map(|(name, version)| format!("| {name} | {version} |\n"));
    let mut text = format!(
        "| program | version |\n|---|---|\n{}\n",
        lines.collect::<String>()
    );
    for note in &results.notes {
        let _ = writeln!(text, "Left out: {}\n", note.replace('\n', " "));
    }
    text
}

fn loads(results: &Results) -> String {
    let lines = results.loads.iter().map(|load| {
        let others = load.others * 100.0;
        let (what, before, after) = (&load.what, &load.before, &load.after);
        format!("| {what} | {before} | {after} | {others:.1} % |\n")
    });
    format!(
        "| what else ran | load before | load after | others' part of the machine |\n\
         |---|---|---|---:|\n{}",
        lines.collect::<String>()
    )
}
