//! What is left of a run: JSON with every number, tables in Markdown, plots in SVG.

mod markdown;
mod plot;

use std::fs;
use std::path::Path;

use e2e::programs::{Failure, Result, workspace};
use serde_json::json;

use crate::results::Results;
use crate::{Options, machine, out};

/// Between these lines of docs/performance.md stands what `--docs` writes.
const BEGIN: &str = "<!-- figures: begin (cargo bench-peers --docs) -->";
const END: &str = "<!-- figures: end -->";

/// Writes all of it, and prints the tables.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(results: &Results, options: &Options) -> Result<()> {
    let folder = out(options)?;
    fs::create_dir_all(&folder).map_err(|e| Failure::io(folder.display(), &e))?;
    let (rounds, turn, idle) = options.amounts();
    let mut whole = results.to_json();
    whole["machine"] = machine::about();
    whole["settings"] = json!({
        "rounds": rounds,
        "turn_ms": turn.as_millis() as u64,
        "idle": idle,
        "cores": options.cores,
        "quick": options.quick,
    });
    let text = serde_json::to_string_pretty(&whole).expect("JSON");
    put(&folder.join("results.json"), &text)?;
    let plots = plot::all(results);
    for (name, svg) in &plots {
        put(&folder.join(name), svg)?;
    }
    let names: Vec<&str> = plots.iter().map(|(name, _)| name.as_str()).collect();
    let tables = markdown::tables(results, options);
    put(&folder.join("results.md"), &with_plots(&tables, "", &names))?;
    println!("\n{tables}");
    println!("written to {}", folder.display());
    if options.docs {
        document(&tables, &plots)?;
    }
    Ok(())
}

fn with_plots(tables: &str, folder: &str, names: &[&str]) -> String {
    let plots = names.iter().map(|name| {
        let title = name.trim_end_matches(".svg");
        format!("![{title}]({folder}{name})\n")
    });
    format!("{tables}\n{}", plots.collect::<String>())
}

/// Puts tables and plots into the documentation.
fn document(tables: &str, plots: &[(String, String)]) -> Result<()> {
    let docs = workspace().join("docs");
    let page = docs.join("performance.md");
    let folder = docs.join("performance");
    let text = fs::read_to_string(&page).map_err(|e| Failure::io(page.display(), &e))?;
    fs::create_dir_all(&folder).map_err(|e| Failure::io(folder.display(), &e))?;
    for (name, svg) in plots {
        put(&folder.join(name), svg)?;
    }
    let names: Vec<&str> = plots.iter().map(|(name, _)| name.as_str()).collect();
    let figures = with_plots(tables, "performance/", &names);
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let Some((before, after)) = parts else {
        return Err(Failure::new(format!(
            "{} lacks the lines between which the figures go\nhint: {BEGIN} and {END}",
            page.display()
        )));
    };
    put(
        &page,
        &format!("{before}{BEGIN}\n\n{figures}\n{END}{after}"),
    )
}

fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| Failure::io(path.display(), &e))
}
