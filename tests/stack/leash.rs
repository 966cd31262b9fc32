//! Ends every child of this process when this process ends in whatever way, kill -9 included.
//!
//! One shell holds the read end of a pipe and the list of process groups; when the pipe closes, because its
//! only writer is gone, it kills the groups that are still on the list and removes the directories.

use anyhow::{Context, Result};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

static LEASH: Mutex<Option<ChildStdin>> = Mutex::new(None);

/// Reads `+ GROUP` and `- GROUP` and `d DIRECTORY`; at the end kills and removes what is left on its lists.
const SCRIPT: &str = r#"
groups=" "; directories=""
while read -r verb what; do
  case $verb in
    +) groups="$groups$what " ;;
    -) case $groups in *" $what "*) groups="${groups%% $what *} ${groups#* $what }" ;; esac ;;
    d) directories="$directories$what
" ;;
  esac
done
for group in $groups; do kill -9 "-$group"; done 2>/dev/null
printf %s "$directories" | while read -r directory; do rm -rf -- "$directory"; done
"#;

/// Ties a process group to this process.
pub fn tie(group: u32) -> Result<()> {
    tell(&format!("+ {group}\n"))
}

/// Unties a group whose processes are gone: its number may be used again by others.
pub fn untie(group: u32) {
    let _ = tell(&format!("- {group}\n"));
}

/// Removes the directory when this process has ended.
pub fn remove_at_end(directory: &Path) -> Result<()> {
    tell(&format!("d {}\n", directory.display()))
}

fn tell(line: &str) -> Result<()> {
    let mut leash = LEASH.lock().unwrap_or_else(PoisonError::into_inner);
    if leash.is_none() {
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT]).process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
        *leash = shell.stderr(Stdio::null()).spawn().context("sh")?.stdin.take();
    }
    let pipe = leash.as_mut().context("sh without a pipe")?;
    pipe.write_all(line.as_bytes()).context("the shell that holds the leash is gone")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The script alone, with a pipe of the test's own: closing it stands for the end of this process.
    #[test]
    fn what_is_tied_ends_with_the_pipe_and_what_is_untied_does_not() {
        let mut shell =
            Command::new("sh").args(["-c", SCRIPT]).stdin(Stdio::piped()).spawn().unwrap();
        let sleep = || Command::new("sleep").arg("100").process_group(0).spawn().unwrap();
        let (mut tied, mut untied) = (sleep(), sleep());
        let directory = tempfile::tempdir().unwrap().keep();
        let mut pipe = shell.stdin.take().unwrap();
        writeln!(pipe, "+ {}\n+ {}\n- {}", untied.id(), tied.id(), untied.id()).unwrap();
        writeln!(pipe, "d {}", directory.display()).unwrap();

        drop(pipe);
        assert!(shell.wait().unwrap().success());

        assert!(!tied.wait().unwrap().success());
        assert!(!directory.exists());
        assert!(untied.try_wait().unwrap().is_none());
        untied.kill().unwrap();
        untied.wait().unwrap();
    }
}
