//! Configuration from files and mounted folders, and their changes.
//!
//! Floor 9. Kubelet swaps the symlink `..data` when a ConfigMap or Secret changes, and inotify on a
//! file misses that; so everything is looked at once a second, and read when it looks different.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const POLL: Duration = Duration::from_secs(1);

/// A ConfigMap has at most 1 MiB; this bounds a file or folder that is none.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Formats that GOST reads and this version does not.
const OTHER_FORMATS: &[&str] =
    &["toml", "properties", "props", "prop", "hcl", "tfvars", "dotenv", "env", "ini"];

/// Why a file or folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It is missing, or may not be read.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// A folder without a file that ends in .yaml, .yml or .json.
    #[error("the folder has no file that ends in .yaml, .yml or .json")]
    Empty,
    /// More than 16 MiB.
    #[error("larger than 16 MiB")]
    TooLarge,
    /// Its name says that it is in another of GOST's formats.
    #[error("only YAML and JSON are read; gost -C FILE -O yaml converts it")]
    Format,
    /// GOST fetches URLs; a configuration that a process needs should not need the network.
    #[error("URLs are not fetched; use curl URL | adit -C -")]
    Url,
}

/// A text and the name that messages call it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path, or what it came from.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// Where a part of the configuration is.
#[derive(Clone, Debug)]
enum Input {
    /// Standard input or inline JSON: read once.
    Text(File),
    /// A file or folder.
    Path(PathBuf),
}

/// The inputs of a configuration, in their order.
#[derive(Clone, Debug, Default)]
pub struct Inputs(Arc<[Input]>);

/// What can be told of files without reading them. Two looks are equal if nothing has changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    inputs: Vec<(PathBuf, Option<Stamp>)>,
    referenced: Vec<(PathBuf, Option<Stamp>)>,
}

/// Inode, size, times of content and of inode (seconds and nanoseconds).
type Stamp = (u64, u64, (i64, i64), (i64, i64));

impl Inputs {
    /// The values of `-C`: files, folders, `-` for standard input, JSON in braces.
    ///
    /// # Errors
    /// If standard input cannot be read: it is, here and now.
    pub fn open(names: &[String]) -> io::Result<Self> {
        let input = |name: &String| {
            let name = name.trim();
            Ok(if name == "-" {
                let mut text = String::new();
                io::stdin().take(MAX_BYTES).read_to_string(&mut text)?;
                Input::Text(File { name: "standard input".into(), text })
            } else if name.starts_with('{') && name.ends_with('}') {
                Input::Text(File { name: "-C {..}".into(), text: name.into() })
            } else {
                Input::Path(name.into())
            })
        };
        names.iter().map(input).collect::<io::Result<_>>().map(Self)
    }

    /// A folder.
    pub fn folder(path: &Path) -> Self {
        Self([Input::Path(path.into())].into())
    }

    /// Reads everything, the files of a folder in the order of their names. An error has the name of
    /// its file or folder.
    pub fn read(&self) -> Vec<Result<File, (String, InputError)>> {
        let mut files = Vec::new();
        for input in self.0.iter() {
            let path = match input {
                Input::Text(file) => {
                    files.push(Ok(file.clone()));
                    continue;
                }
                Input::Path(path) => path,
            };
            match paths(path) {
                Ok(paths) => files.extend(paths.iter().map(|path| read(path))),
                Err(error) => files.push(Err((path.display().to_string(), error))),
            }
        }
        files
    }

    /// Looks at everything, and at files that the configuration refers to.
    pub fn look<'a>(&self, referenced: impl IntoIterator<Item = &'a str>) -> Look {
        let paths = self.0.iter().flat_map(|input| match input {
            Input::Text(_) => Vec::new(),
            Input::Path(path) => paths(path).unwrap_or_else(|_| vec![path.clone()]),
        });
        Look {
            inputs: paths.map(|path| (path.clone(), stamp(&path))).collect(),
            referenced: stamps(referenced.into_iter().map(Into::into)),
        }
    }

    /// Returns when something looks different from `seen`, and has looked the same for a second: a
    /// file may be half written. Never, without a wake-up, if there is no file.
    pub async fn changed(&self, seen: &Look) {
        let read_once = |input| matches!(input, &Input::Text(_));
        if seen.referenced.is_empty() && self.0.iter().all(read_once) {
            return std::future::pending().await;
        }
        let mut last = None;
        loop {
            tokio::time::sleep(POLL).await;
            let (inputs, before) = (self.clone(), seen.clone());
            let looked = tokio::task::spawn_blocking(move || before.again(&inputs)).await;
            let Ok(look) = looked else { continue };
            if look != *seen && last.as_ref() == Some(&look) {
                return;
            }
            last = Some(look);
        }
    }
}

impl Look {
    /// This look at the inputs, and another's at the files that they refer to.
    #[must_use]
    pub fn referring<'a>(self, referenced: impl IntoIterator<Item = &'a str>) -> Self {
        Self { referenced: stamps(referenced.into_iter().map(Into::into)), ..self }
    }

    /// A newer look at the same.
    #[must_use]
    pub fn again(&self, inputs: &Inputs) -> Self {
        let referenced = stamps(self.referenced.iter().map(|(path, _)| path.clone()));
        Self { referenced, ..inputs.look([]) }
    }
}

fn stamps(paths: impl Iterator<Item = PathBuf>) -> Vec<(PathBuf, Option<Stamp>)> {
    paths.map(|path| (path.clone(), stamp(&path))).collect()
}

/// Follows symlinks, so through `..data`.
fn stamp(path: &Path) -> Option<Stamp> {
    let m = std::fs::metadata(path).ok()?;
    Some((m.ino(), m.len(), (m.mtime(), m.mtime_nsec()), (m.ctime(), m.ctime_nsec())))
}

/// The files at a path: itself, or those of a folder.
fn paths(path: &Path) -> Result<Vec<PathBuf>, InputError> {
    let text = path.to_string_lossy();
    if text.starts_with("http://") || text.starts_with("https://") {
        return Err(InputError::Url);
    }
    if !std::fs::metadata(path).map_err(InputError::Read)?.is_dir() {
        return Ok(vec![path.into()]);
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(path).map_err(InputError::Read)? {
        let entry = entry.map_err(InputError::Read)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let wanted = [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending));
        if wanted && !name.starts_with('.') && entry.path().is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    if paths.is_empty() { Err(InputError::Empty) } else { Ok(paths) }
}

fn read(path: &Path) -> Result<File, (String, InputError)> {
    let name = path.display().to_string();
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let text = || {
        if OTHER_FORMATS.contains(&ending) {
            return Err(InputError::Format);
        }
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(InputError::Read)?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(InputError::Read)?;
        if text.len() as u64 > MAX_BYTES { Err(InputError::TooLarge) } else { Ok(text) }
    };
    match text() {
        Ok(text) => Ok(File { name, text }),
        Err(error) => Err((name, error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Lays out a folder as kubelet does.
    fn publish(root: &Path, version: &str, text: &str) {
        let data = root.join(format!("..{version}"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("adit.yaml"), text).unwrap();
        symlink(format!("..{version}"), root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        let _ = symlink("..data/adit.yaml", root.join("adit.yaml"));
    }

    fn texts(inputs: &Inputs) -> Vec<String> {
        inputs.read().into_iter().map(|file| file.unwrap().text).collect()
    }

    #[tokio::test]
    async fn a_swap_of_the_data_link_is_a_change() {
        let root = tempfile::tempdir().unwrap();
        publish(root.path(), "1", "services: []");
        let inputs = Inputs::folder(root.path());
        let seen = inputs.look([]);
        assert_eq!(texts(&inputs), ["services: []"]);
        publish(root.path(), "2", "services: [] # new");
        tokio::time::timeout(Duration::from_secs(10), inputs.changed(&seen)).await.unwrap();
        assert_eq!(texts(&inputs), ["services: [] # new"]);
    }

    #[tokio::test]
    async fn a_referenced_file_that_appears_or_changes_is_a_change() {
        let root = tempfile::tempdir().unwrap();
        let users = root.path().join("users").display().to_string();
        let inputs = Inputs::open(&["{}".into()]).unwrap();
        for text in ["u p", "u q"] {
            let seen = inputs.look([users.as_str()]);
            std::fs::write(&users, text).unwrap();
            tokio::time::timeout(Duration::from_secs(10), inputs.changed(&seen)).await.unwrap();
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_reason_and_hides_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let file = |name: &str| root.path().join(name).display().to_string();
        std::fs::write(file("a.toml"), "").unwrap();
        std::fs::write(file("b.yaml"), "x").unwrap();
        std::fs::create_dir(file("empty")).unwrap();
        let names = [
            file("a.toml"),
            file("none"),
            file("empty"),
            "https://h/a.yaml".into(),
            file("b.yaml"),
        ];
        let read = Inputs::open(&names).unwrap().read();
        let errors: Vec<_> = read
            .iter()
            .filter_map(|r| r.as_ref().err())
            .map(|(n, e)| format!("{n}: {e}"))
            .collect();
        for (error, part) in
            errors.iter().zip(["only YAML and JSON", "cannot be read", "no file that ends", "curl"])
        {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!((errors.len(), read.last().unwrap().as_ref().unwrap().text.as_str()), (4, "x"));
    }
}
