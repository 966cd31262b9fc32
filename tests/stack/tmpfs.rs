//! A file system of a few bytes, in memory: a disk that is really full. Mounting one is a privilege.

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::path::{Path, PathBuf};

/// A mounted one. Dropping it unmounts it, whoever has files open there.
pub struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    /// Mounts one of so many bytes at `path`, which is made when it is missing.
    pub fn mount(path: &Path, bytes: u64) -> Result<Tmpfs> {
        std::fs::create_dir_all(path)?;
        let size = CString::new(format!("size={bytes}"))?;
        mount("none", path, "tmpfs", MountFlags::empty(), size.as_c_str())
            .with_context(|| format!("mounting a tmpfs at {}", path.display()))?;
        Ok(Tmpfs { path: path.to_owned() })
    }

    /// Whether this process may mount one; the error names the reason.
    pub fn may_be_mounted() -> Result<()> {
        let directory = tempfile::tempdir()?;
        Tmpfs::mount(directory.path(), 64 << 10).map(drop)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = unmount(&self.path, UnmountFlags::DETACH);
    }
}
