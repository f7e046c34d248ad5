//! Where an installation goes: Jupyter's data folder of a user or of a prefix, and the folders beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// The words for a user's own place.
const USER: &str = "--user";

/// What was asked for.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Where {
    /// For this user (the default)
    #[arg(long)]
    user: bool,
    /// For the Python that is active: the virtual or conda environment of the `python` on the PATH
    #[arg(long, conflicts_with = "user")]
    sys_prefix: bool,
    /// For another prefix, such as /usr/local
    #[arg(long, value_name = "P", conflicts_with_all = ["user", "sys_prefix"])]
    prefix: Option<PathBuf>,
}

/// The folders of an installation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Places {
    /// Jupyter's data folder, with the kernelspecs and the JupyterLab extensions.
    pub(crate) data: PathBuf,
    /// The copies of builds.
    pub(crate) builds: PathBuf,
    /// Where the command is linked; `None` where programs have no folder.
    pub(crate) programs: Option<PathBuf>,
    /// The Python of the prefix; of a user the one on the PATH.
    pub(crate) python: Option<PathBuf>,
    /// The words that say the same to `corriente uninstall`.
    pub(crate) words: String,
}

impl Where {
    /// The Python that is active.
    pub(crate) fn active() -> Where {
        Where { sys_prefix: true, ..Where::default() }
    }

    pub(crate) fn places(&self) -> anyhow::Result<Places> {
        if self.sys_prefix {
            let (python, prefix) = active_python().context(
                "--sys-prefix is the Python environment that is active, and there is no `python` on the PATH; activate one, or name its folder with --prefix",
            )?;
            return Ok(Places::of_prefix(&prefix, Some(python), "--sys-prefix".to_owned()));
        }
        if let Some(prefix) = &self.prefix {
            let prefix = std::path::absolute(prefix)?;
            let python = Some(prefix.join("bin/python")).filter(|python| python.exists());
            return Ok(Places::of_prefix(&prefix, python, format!("--prefix {}", prefix.display())));
        }
        let python = active_python().map(|(python, _)| python);
        Places::of_user(|name| std::env::var_os(name).map(PathBuf::from), python)
    }
}

impl Places {
    fn of_prefix(prefix: &Path, python: Option<PathBuf>, words: String) -> Places {
        let share = prefix.join("share");
        Places {
            data: share.join("jupyter"),
            builds: share.join("corriente"),
            programs: Some(prefix.join("bin")),
            python,
            words,
        }
    }

    fn of_user(variable: impl Fn(&str) -> Option<PathBuf>, python: Option<PathBuf>) -> anyhow::Result<Places> {
        let set = |name: &str| variable(name).filter(|value| !value.as_os_str().is_empty());
        let words = USER.to_owned();
        if let Some(data) = set("JUPYTER_DATA_DIR") {
            let data = std::path::absolute(data)?;
            return Ok(Places { builds: data.join("corriente"), programs: None, data, python, words });
        }
        let home = set("HOME").context("there is no HOME; name a place with --prefix")?;
        let programs = Some(home.join(".local/bin"));
        if cfg!(target_os = "macos") {
            let library = home.join("Library");
            let builds = library.join("Application Support/corriente");
            return Ok(Places { data: library.join("Jupyter"), builds, programs, python, words });
        }
        let share = set("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
        Ok(Places { data: share.join("jupyter"), builds: share.join("corriente"), programs, python, words })
    }

    /// Where the packages of the Python are; of a user those that are the user's own.
    pub(crate) fn packages(&self) -> Option<PathBuf> {
        super::papermill::packages(self.python.as_ref()?, self.words == USER)
    }

    /// Whether a Jupyter looks into these folders, as far as can be told: one of the Python, and of a user the one on the PATH.
    pub(crate) fn has_jupyter(&self) -> bool {
        let runs = |program: &Path, words: &[&str]| {
            Command::new(program).args(words).output().is_ok_and(|answer| answer.status.success())
        };
        self.python.as_ref().is_some_and(|python| runs(python, &["-c", "import jupyter_core"]))
            || (self.words == USER && runs(Path::new("jupyter"), &["--version"]))
    }

    /// The folder of a kernelspec.
    pub(crate) fn kernel(&self, name: &str) -> PathBuf {
        self.data.join("kernels").join(name)
    }

    /// The folder of the JupyterLab extension.
    pub(crate) fn extension(&self) -> PathBuf {
        self.data.join("labextensions").join(super::extension::NAME)
    }
}

/// The `python` on the PATH, and the prefix that it says is its own.
fn active_python() -> Option<(PathBuf, PathBuf)> {
    ["python", "python3"].into_iter().find_map(|name| {
        let answer = Command::new(name).args(["-c", "import sys; print(sys.executable); print(sys.prefix)"]).output();
        let answer = String::from_utf8(answer.ok().filter(|answer| answer.status.success())?.stdout).ok()?;
        let mut lines = answer.lines().map(PathBuf::from);
        Some((lines.next()?, lines.next()?))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(set: &[(&str, &str)], data: &str, builds: &str) {
        let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value));
        let places = Places::of_user(variable, None).unwrap();
        assert_eq!((places.data, places.builds), (PathBuf::from(data), PathBuf::from(builds)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_users_folders_are_where_jupyter_looks() {
        check(&[("HOME", "/h")], "/h/.local/share/jupyter", "/h/.local/share/corriente");
        check(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")], "/d/jupyter", "/d/corriente");
        check(&[("HOME", "/h"), ("XDG_DATA_HOME", "")], "/h/.local/share/jupyter", "/h/.local/share/corriente");
        check(&[("HOME", "/h"), ("JUPYTER_DATA_DIR", "/j")], "/j", "/j/corriente");
    }

    #[test]
    fn a_user_without_a_home_is_told_of_a_prefix() {
        assert!(Places::of_user(|_| None, None).unwrap_err().to_string().contains("--prefix"));
    }
}
