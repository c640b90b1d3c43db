//! How much may wait in queues by default: half of what the cgroup lets the process have.

use std::fs;
use std::path::Path;

/// Where the cgroup has no limit.
const WITHOUT_LIMIT: usize = 512 << 20;

/// Limits from here on are none: version 1 says "unlimited" with the largest number of pages.
const NONE_FROM: usize = 1 << 50;

/// `--memory-budget` where nobody set it, in bytes.
pub(super) fn default_budget() -> usize {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit(&own, Path::new("/sys/fs/cgroup")).map_or(WITHOUT_LIMIT, |limit| limit / 2)
}

/// The least limit of the cgroups that the process is in, by `/proc/self/cgroup`: version 2, or the
/// memory controller of version 1. In a container the root of the mount is the container's own.
fn limit(own: &str, root: &Path) -> Option<usize> {
    let mut limits = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (base, file) = match controllers {
            "" => (root.to_path_buf(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let folder = base.join(path.trim_start_matches('/'));
        for folder in folder.ancestors().take_while(|folder| folder.starts_with(&base)) {
            let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
            limits.extend(text.trim().parse::<usize>());
        }
    }
    limits.into_iter().filter(|limit| *limit < NONE_FROM).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_on_the_way_to_the_root_counts() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let found = |own: &str| limit(own, root.path());
        assert_eq!(found("0::/\n"), None, "no such file");
        put("memory.max", "max\n");
        assert_eq!(found("0::/\n"), None, "no limit");
        put("a/memory.max", "1000\n");
        put("a/b/memory.max", "2000\n");
        assert_eq!(found("0::/a/b\n"), Some(1000));
        assert_eq!(found("0::/not/mounted/here\n"), None);
        put("memory/memory.limit_in_bytes", "9223372036854771712\n");
        put("memory/c/memory.limit_in_bytes", "3000\n");
        assert_eq!(found("5:cpu,memory:/c\n0::/\n"), Some(3000));
        assert_eq!(found("5:memory:/\n"), None, "the largest number of pages is no limit");
        put("memory.max", "500\n");
        assert_eq!(found("0::/\n"), Some(500), "a container's own");
    }
}
