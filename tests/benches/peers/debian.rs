//! Programs of Debian, without installing them: their packages are fetched with `apt-get
//! download` and unpacked under `target/peers`, so that no service starts and nobody need be
//! root. Where that cannot be done, those on the path are taken.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::programs::{Failure, Result, program_dir, run};

/// A program, where it lies in its package, and the packages that it needs beside those of
/// every Debian.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Package {
    /// The program.
    pub(crate) path: &'static str,
    packages: &'static [&'static str],
}

/// stunnel 5.
pub(crate) const STUNNEL: Package = Package {
    path: "usr/bin/stunnel4",
    packages: &["stunnel4", "libwrap0"],
};
/// HAProxy.
pub(crate) const HAPROXY: Package = Package {
    path: "usr/sbin/haproxy",
    packages: &[
        "haproxy",
        "liblua5.3-0",
        "libopentracing-c-wrapper0",
        "libopentracing1",
    ],
};
/// nginx, with its module for streams.
pub(crate) const NGINX: Package = Package {
    path: "usr/sbin/nginx",
    packages: &["nginx", "libnginx-mod-stream"],
};
/// The server of OpenSSH.
pub(crate) const SSHD: Package = Package {
    path: "usr/sbin/sshd",
    packages: &["openssh-server", "libwrap0"],
};

/// A program that can be started.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    /// The program.
    pub(crate) program: PathBuf,
    /// What it was unpacked into; `/` for one on the path.
    pub(crate) root: PathBuf,
}

impl Installed {
    /// To start it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if self.root != Path::new("/") {
            let libraries: Vec<_> = libraries(&self.root.join("usr/lib")).collect();
            command.env("LD_LIBRARY_PATH", libraries.join(":"));
        }
        command
    }

    /// What it says of its version.
    pub(crate) fn version(&self, argument: &str) -> String {
        let mut command = self.command();
        let said = run(command.arg(argument)).map(|ran| format!("{}{}", ran.stdout, ran.stderr));
        let said = said.unwrap_or_default();
        let digit = |line: &&str| line.contains(|c: char| c.is_ascii_digit());
        said.lines()
            .find(digit)
            .unwrap_or("unknown")
            .trim()
            .to_owned()
    }
}

/// The folders of a system's libraries.
fn libraries(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.map(|entry| entry.path().display().to_string());
    named.filter(|name| name.ends_with("-linux-gnu") || name.contains("-linux-gnueabi"))
}

impl Package {
    /// Gets it.
    ///
    /// # Errors
    /// When it can neither be fetched nor is on the path; the sentence says what to install.
    pub(crate) fn install(&self) -> Result<Installed> {
        let fetched = self.fetch();
        match (fetched, self.on_path()) {
            (Ok(installed), _) | (Err(_), Some(installed)) => Ok(installed),
            (Err(failure), None) => Err(Failure::new(format!(
                "{failure}\nhint: install it (Debian: apt-get install {}), or leave it out with --only",
                self.packages.join(" ")
            ))),
        }
    }

    fn fetch(&self) -> Result<Installed> {
        let programs = program_dir()?;
        let target = programs.parent().unwrap_or(&programs);
        let root = target.join("peers").join(self.packages[0]);
        let program = root.join(self.path);
        let marker = root.join("complete");
        if !marker.exists() {
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(&root).map_err(|e| Failure::io(root.display(), &e))?;
            println!("fetching {} of Debian", self.packages.join(", "));
            let mut download = Command::new("apt-get");
            download
                .current_dir(&root)
                .arg("download")
                .args(self.packages);
            run(&mut download)?.success()?;
            for package in debs(&root) {
                let mut unpack = Command::new("dpkg");
                unpack.arg("--extract").arg(package).arg(&root);
                run(&mut unpack)?.success()?;
            }
            fs::write(&marker, "").map_err(|e| Failure::io(marker.display(), &e))?;
        }
        Ok(Installed { program, root })
    }

    fn on_path(&self) -> Option<Installed> {
        let name = Path::new(self.path).file_name()?;
        ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"]
            .map(|folder| Path::new(folder).join(name))
            .into_iter()
            .find(|program| program.exists())
            .map(|program| Installed {
                program,
                root: "/".into(),
            })
    }
}

fn debs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "deb"))
        .collect()
}
