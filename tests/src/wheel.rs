//! The wheel of the Python package, built from the workspace as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::{Failure, Result, program_dir, workspace};
use crate::venv::Venv;

/// A built wheel.
#[derive(Debug)]
pub struct Wheel(PathBuf);

impl Wheel {
    /// Builds it, with the profile and in the target folder of the running program. It is
    /// good for this machine: no wheel for others is made here.
    ///
    /// # Errors
    /// When maturin cannot be had or fails; the sentence says so.
    pub fn build(say: &mut dyn FnMut(&str)) -> Result<Self> {
        let programs = program_dir()?;
        let target = programs.parent().unwrap_or(&programs);
        let folder = target.join("wheels");
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|e| Failure::io(folder.display(), &e))?;
        }
        let profile = if programs.ends_with("release") {
            "release"
        } else {
            "dev"
        };
        let python = Venv::MATURIN.python(say)?;
        let output = Command::new(python)
            .args(["-m", "maturin", "build", "--quiet", "--profile", profile])
            .args(["--compatibility", "linux", "--out"])
            .arg(&folder)
            .current_dir(workspace().join("agent").join("python"))
            .env("CARGO_TARGET_DIR", target)
            .output()
            .map_err(|e| Failure::io("starting maturin", &e))?;
        if !output.status.success() {
            return Err(Failure::new(format!(
                "the wheel could not be built ({})\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )));
        }
        let mut wheels = fs::read_dir(&folder)
            .map_err(|e| Failure::io(folder.display(), &e))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "whl"));
        wheels
            .next()
            .map(Self)
            .ok_or_else(|| Failure::new("maturin made no wheel"))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }
}
