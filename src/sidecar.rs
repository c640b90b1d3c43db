//! Configuration from a mounted folder.
//!
//! Floor 9. Kubelet swaps the symlink `..data` when a ConfigMap changes, and inotify on a file
//! misses that; so the folder is looked at once a second, and read when it looks different.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::fs;

const POLL: Duration = Duration::from_secs(1);

/// A ConfigMap has at most 1 MiB; this bounds a folder that is none.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is missing, or may not be read.
    #[error("cannot read {path}")]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It holds no file that ends in .yaml, .yml or .json.
    #[error("{0} has no file that ends in .yaml, .yml or .json")]
    Empty(PathBuf),
    /// More than 16 MiB.
    #[error("the files of {0} are larger than 16 MiB together")]
    TooLarge(PathBuf),
}

/// A file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name within the folder.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// A folder of configuration files.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    seen: Option<Look>,
}

/// What can be told without reading: name, size and time of each file.
type Look = Vec<(String, u64, Option<SystemTime>)>;

impl Folder {
    /// The folder at a path, unread.
    pub fn new(path: &Path) -> Self {
        Self { path: path.into(), seen: None }
    }

    /// Reads the files in the order of their names.
    ///
    /// # Errors
    /// [`FolderError`]; the next [`changed`](Self::changed) then waits for another look.
    pub async fn read(&mut self) -> Result<Vec<File>, FolderError> {
        let look = self.look().await?;
        if look.is_empty() {
            return Err(FolderError::Empty(self.path.clone()));
        }
        if look.iter().map(|(_, size, _)| size).sum::<u64>() > MAX_BYTES {
            return Err(FolderError::TooLarge(self.path.clone()));
        }
        let mut files = Vec::with_capacity(look.len());
        for (name, ..) in &look {
            let path = self.path.join(name);
            let text = fs::read_to_string(&path).await;
            let text = text.map_err(|source| FolderError::Read { path, source })?;
            files.push(File { name: name.clone(), text });
        }
        self.seen = Some(look);
        Ok(files)
    }

    /// Returns when the folder looks different from when it was read last, and has looked the same
    /// for a second: a file may be half written.
    pub async fn changed(&mut self) {
        let mut last = None;
        loop {
            tokio::time::sleep(POLL).await;
            let look = self.look().await.ok();
            if look != self.seen && look == last {
                self.seen = look;
                return;
            }
            last = look;
        }
    }

    async fn look(&self) -> Result<Look, FolderError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| FolderError::Read { path, source }
        };
        let mut entries = fs::read_dir(&self.path).await.map_err(failed(&self.path))?;
        let mut look = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(failed(&self.path))? {
            let name = entry.file_name().to_string_lossy().into_owned();
            let wanted = [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending));
            if name.starts_with('.') || !wanted {
                continue;
            }
            // Follows the symlink through ..data.
            let path = entry.path();
            let metadata = fs::metadata(&path).await.map_err(failed(&path))?;
            if metadata.is_file() {
                look.push((name, metadata.len(), metadata.modified().ok()));
            }
        }
        look.sort();
        Ok(look)
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

    #[tokio::test]
    async fn a_swap_of_the_data_link_is_a_change() {
        let root = tempfile::tempdir().unwrap();
        publish(root.path(), "1", "services: []");
        let mut folder = Folder::new(root.path());
        let first = folder.read().await.unwrap();
        assert_eq!(first, [File { name: "adit.yaml".into(), text: "services: []".into() }]);
        publish(root.path(), "2", "services: [] # new");
        tokio::time::timeout(Duration::from_secs(10), folder.changed()).await.unwrap();
        assert_eq!(folder.read().await.unwrap().first().unwrap().text, "services: [] # new");
    }

    #[tokio::test]
    async fn a_folder_without_files_says_what_it_wants() {
        let root = tempfile::tempdir().unwrap();
        let error = Folder::new(root.path()).read().await.unwrap_err();
        assert!(error.to_string().contains("no file that ends in .yaml"));
    }
}
